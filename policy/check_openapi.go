package policy

// openAPI checks that routes do not switch on what their site does not have.
func (c *checker) openAPI(s *Site, path string) {
	if s.OpenAPI != nil || c.report.isBroken(path+".openapi") {
		return
	}
	for i := range s.Routes {
		if at := itemPath(path+".routes", i) + ".openapi"; s.Routes[i].OpenAPI != "" && s.Routes[i].OpenAPI != WAFOff && !c.report.isBroken(at) {
			c.bad(at, "there is no document that requests could be held to", "give the site openapi: {file: api.yaml}")
		}
	}
}
