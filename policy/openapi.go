package policy

// OpenAPI holds requests to a description of an API. In YAML it may be just the file.
type OpenAPI struct {
	// File is an OpenAPI document of version 3.0 or 3.1, YAML or JSON. What it refers to lies in its folder; nothing is fetched.
	File string `yaml:"file" example:"/etc/stormdoor/api.yaml"`
	// Mode is off, count (what the document does not allow is logged and counted, nobody is refused) or block. Default count.
	Mode WAFMode `yaml:"mode,omitempty" enum:"off,count,block" default:"count"`
	// Unknown is what happens to paths that the document does not have: allow (default), or refuse with 404 where mode is block.
	Unknown Unknown `yaml:"unknown,omitempty" enum:"allow,refuse" default:"allow"`
	// UnknownParameters is what happens to parameters of the query that the document does not have: allow (default), or refuse
	// with 400 where mode is block.
	UnknownParameters Unknown `yaml:"unknown_parameters,omitempty" enum:"allow,refuse" default:"allow"`
}

// Unknown is what happens to what a document does not have.
type Unknown string

// What happens to what a document does not have. The zero value is UnknownAllowed.
const (
	UnknownAllowed Unknown = "allow"
	UnknownRefused Unknown = "refuse"
)
