package seclang

import (
	"slices"
	"strconv"
)

// collection is one of the lists of fields that a transaction holds.
type collection uint8

const (
	argsGet collection = iota
	argsPost
	argsPath
	argsNested // see nested.go
	requestHeaders
	requestCookies
	responseHeaders
	responseArgs
	files
	filesNames
	filesSizes
	filesBegin // what files begin with; not in Coraza
	multipartFilename
	multipartFilenameCharset
	multipartFilenameLanguage
	multipartName
	multipartPartHeaders
	xmlValues
	environment
	matchedVars
	graphQL     // see graphql.go
	collections // how many there are
)

// single is one of the variables that hold one value.
type single uint8

const (
	argumentsLimitReached single = iota
	filesCombinedSize
	fullRequestLength
	highestSeverity
	inboundDataError
	matchedVar
	multipartBoundaryQuoted
	multipartDataAfter
	multipartDataBefore
	multipartDuplicatePartHeader
	multipartHeaderFolding
	multipartInvalidQuoting
	multipartLFLine
	multipartStrictError
	multipartUnmatchedBoundary
	outboundDataError
	queryString
	remoteAddr
	remotePort
	reqbodyError
	reqbodyErrorMsg
	reqbodyProcessor
	reqbodyProcessorError
	reqbodyProcessorErrorMsg
	requestBasename
	requestBody
	requestBodyLength
	requestFilename
	requestLine
	requestMethod
	requestProtocol
	requestURI
	requestURIRaw
	resBodyError
	resBodyErrorMsg
	resBodyProcessor
	resBodyProcessorError
	resBodyProcessorErrorMsg
	responseBody
	responseContentLength
	responseContentType
	responseProtocol
	responseStatus
	serverAddr
	serverName
	serverPort
	uniqueID
	uriParseError
	urlencodedError
	singles // how many there are
)

// variable is what a target names.
type variable struct {
	name     string
	one      single                    // if there is no from and no computed
	from     []collection              // in this order
	names    bool                      // the keys are the values
	exact    bool                      // keys are compared with case
	tx       bool                      // TX: kept in slots
	rule     bool                      // RULE: of the rule at hand
	compute  func(*Transaction) string // worked out when asked for
	volatile bool                      // changes while the rules of a phase run: not for the gate
}

// selectable reports whether the variable has keys.
func (v *variable) selectable() bool { return v.from != nil || v.tx || v.rule }

// steady are the variables of one value that stay as they are while the rules of a phase run.
var steady = map[single]string{
	argumentsLimitReached: "ARGUMENTS_LIMIT_REACHED", filesCombinedSize: "FILES_COMBINED_SIZE",
	fullRequestLength: "FULL_REQUEST_LENGTH", inboundDataError: "INBOUND_DATA_ERROR",
	multipartDataAfter: "MULTIPART_DATA_AFTER", multipartDuplicatePartHeader: "MULTIPART_DUPLICATE_PART_HEADER",
	multipartBoundaryQuoted: "MULTIPART_BOUNDARY_QUOTED", multipartDataBefore: "MULTIPART_DATA_BEFORE",
	multipartHeaderFolding: "MULTIPART_HEADER_FOLDING", multipartLFLine: "MULTIPART_LF_LINE",
	multipartUnmatchedBoundary: "MULTIPART_UNMATCHED_BOUNDARY", multipartInvalidQuoting: "MULTIPART_INVALID_QUOTING", multipartStrictError: "MULTIPART_STRICT_ERROR",
	outboundDataError: "OUTBOUND_DATA_ERROR", queryString: "QUERY_STRING",
	remoteAddr: "REMOTE_ADDR", remotePort: "REMOTE_PORT", reqbodyError: "REQBODY_ERROR",
	reqbodyErrorMsg: "REQBODY_ERROR_MSG", reqbodyProcessorError: "REQBODY_PROCESSOR_ERROR",
	reqbodyProcessorErrorMsg: "REQBODY_PROCESSOR_ERROR_MSG",
	requestBasename:          "REQUEST_BASENAME", requestBody: "REQUEST_BODY", requestBodyLength: "REQUEST_BODY_LENGTH",
	requestFilename: "REQUEST_FILENAME", requestLine: "REQUEST_LINE", requestMethod: "REQUEST_METHOD",
	requestProtocol: "REQUEST_PROTOCOL", requestURI: "REQUEST_URI", requestURIRaw: "REQUEST_URI_RAW",
	resBodyError: "RES_BODY_ERROR", resBodyErrorMsg: "RES_BODY_ERROR_MSG",
	resBodyProcessorError: "RES_BODY_PROCESSOR_ERROR", resBodyProcessorErrorMsg: "RES_BODY_PROCESSOR_ERROR_MSG",
	responseBody: "RESPONSE_BODY", responseContentLength: "RESPONSE_CONTENT_LENGTH",
	responseContentType: "RESPONSE_CONTENT_TYPE", responseProtocol: "RESPONSE_PROTOCOL",
	responseStatus: "RESPONSE_STATUS", serverAddr: "SERVER_ADDR", serverName: "SERVER_NAME",
	serverPort: "SERVER_PORT", uniqueID: "UNIQUE_ID", uriParseError: "URI_PARSE_ERROR",
	urlencodedError: "URLENCODED_ERROR",
}

// changing are those that rules change.
var changing = map[single]string{
	highestSeverity: "HIGHEST_SEVERITY", matchedVar: "MATCHED_VAR",
	reqbodyProcessor: "REQBODY_PROCESSOR", resBodyProcessor: "RES_BODY_PROCESSOR",
}

// lists are the variables of a collection.
var lists = map[collection]string{
	requestHeaders: "REQUEST_HEADERS", requestCookies: "REQUEST_COOKIES", responseHeaders: "RESPONSE_HEADERS",
	responseArgs: "RESPONSE_ARGS", files: "FILES", filesNames: "FILES_NAMES", filesSizes: "FILES_SIZES", filesBegin: "FILES_BEGIN",
	multipartFilename: "MULTIPART_FILENAME", multipartFilenameCharset: "MULTIPART_FILENAME_CHARSET",
	multipartFilenameLanguage: "MULTIPART_FILENAME_LANGUAGE", multipartName: "MULTIPART_NAME",
	multipartPartHeaders: "MULTIPART_PART_HEADERS", xmlValues: "XML", graphQL: "GRAPHQL",
}

// computed are the variables that are worked out when asked for.
var computed = map[string]func(*Transaction) string{
	"ARGS_COMBINED_SIZE": (*Transaction).argsCombinedSize,
	"MATCHED_VAR_NAME":   (*Transaction).matchedName,
	"TIME":               func(t *Transaction) string { return t.start.Arrived.Format("15:04:05") },
	"TIME_EPOCH":         func(t *Transaction) string { return strconv.FormatInt(t.start.Arrived.Unix(), 10) },
	"TIME_YEAR":          func(t *Transaction) string { return t.start.Arrived.Format("2006") },
	"TIME_MON":           func(t *Transaction) string { return t.arena.number(int(t.start.Arrived.Month())) },
	"TIME_DAY":           func(t *Transaction) string { return t.arena.number(t.start.Arrived.Day()) },
	"TIME_WDAY":          func(t *Transaction) string { return t.arena.number(int(t.start.Arrived.Weekday())) },
	"TIME_HOUR":          func(t *Transaction) string { return t.start.Arrived.Format("15") },
	"TIME_MIN":           func(t *Transaction) string { return t.start.Arrived.Format("04") },
	"TIME_SEC":           func(t *Transaction) string { return t.start.Arrived.Format("05") },
}

var variables = variableTable()

func variableTable() map[string]*variable {
	table := map[string]*variable{}
	add := func(v *variable) { table[v.name] = v }
	for one, name := range steady {
		add(&variable{name: name, one: one})
	}
	for one, name := range changing {
		add(&variable{name: name, one: one, volatile: true})
	}
	for c, name := range lists {
		add(&variable{name: name, from: []collection{c}})
	}
	add(&variable{name: "REQUEST_XML", from: []collection{xmlValues}})
	for _, c := range []collection{requestHeaders, requestCookies, responseHeaders} {
		add(&variable{name: lists[c] + "_NAMES", from: []collection{c}, names: true})
	}
	for name, from := range map[string][]collection{
		"ARGS": {argsGet, argsPost, argsPath, argsNested}, "ARGS_GET": {argsGet}, "ARGS_POST": {argsPost}, "ARGS_PATH": {argsPath},
	} {
		add(&variable{name: name, from: from, exact: true})
		if name != "ARGS_PATH" {
			sent := slices.DeleteFunc(slices.Clone(from), func(c collection) bool { return c == argsNested })
			add(&variable{name: name + "_NAMES", from: sent, names: true, exact: true})
		}
	}
	add(&variable{name: "ENV", from: []collection{environment}, volatile: true})
	add(&variable{name: "MATCHED_VARS", from: []collection{matchedVars}, volatile: true})
	add(&variable{name: "MATCHED_VARS_NAMES", from: []collection{matchedVars}, names: true, volatile: true})
	add(&variable{name: "TX", tx: true, volatile: true})
	add(&variable{name: "RULE", rule: true, volatile: true})
	for name, compute := range computed {
		add(&variable{name: name, compute: compute, volatile: true})
	}
	return table
}

// withoutValues lists variables of the language that nothing here fills. A rule that looks at one could never match, so
// it is refused. The reason goes into the error.
var withoutValues = map[string]string{
	"AUTH_TYPE": "", "DURATION": "", "FILES_TMPNAMES": "files are not written to disk", "FILES_TMP_CONTENT": "files are not kept",
	"FULL_REQUEST": "", "GEO": "use the door's own countries", "GLOBAL": "persistent collections are not kept", "IP": "persistent collections are not kept",
	"JSON": "JSON bodies are in ARGS", "MULTIPART_BOUNDARY_WHITESPACE": "", "MULTIPART_CRLF_LF_LINES": "",
	"MULTIPART_FILE_LIMIT_EXCEEDED": "", "MULTIPART_INVALID_HEADER_FOLDING": "",
	"MULTIPART_INVALID_PART": "", "MULTIPART_MISSING_SEMICOLON": "",
	"PATH_INFO": "", "REMOTE_HOST": "names are not resolved", "REMOTE_USER": "", "RESOURCE": "persistent collections are not kept", "RESPONSE_XML": "",
	"SCRIPT_FILENAME": "", "SESSION": "persistent collections are not kept", "SESSIONID": "", "STATUS_LINE": "", "USER": "persistent collections are not kept",
	"USERID": "", "WEBAPPID": "",
}

// field is one value of a collection.
type field struct {
	key    string // as sent
	folded string // the key in lower case, or as sent where keys are compared with case
	value  string
}

// matchedName is the name of what the last match was in: "ARGS:id".
func (t *Transaction) matchedName() string {
	if t.lastKey == "" {
		return t.lastVariable
	}
	b := append(t.arena.free(), t.lastVariable...)
	return t.arena.keep(append(append(b, ':'), t.lastKey...))
}

func (t *Transaction) argsCombinedSize() string {
	n := 0
	for _, c := range [...]collection{argsGet, argsPost} {
		for i := range t.fields[c] {
			n += len(t.fields[c][i].key) + len(t.fields[c][i].value)
		}
	}
	return t.arena.number(n)
}
