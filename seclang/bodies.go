package seclang

import (
	"mime"
	"strings"

	"stormdoor/seclang/internal/body"
)

// bodyKinds are the body processors that a rule can ask for.
var bodyKinds = []string{"URLENCODED", "MULTIPART", "JSON", "XML", "RAW"}

// readRequestBody takes the body apart, as its type or a rule says.
func (t *Transaction) readRequestBody() {
	if !t.set.requestBody || len(t.requestPieces) == 0 {
		return
	}
	kind := t.singles[reqbodyProcessor]
	t.parsed.Reset()
	packed, ok := t.unpackBody()
	if !ok {
		t.bodyProblem(kind)
		return
	}
	text, declared := t.requestPieces, kind
	t.bodyText = text
	t.cost.Work += int64(len(text))
	limits := body.Limits{Fields: t.set.arguments, Depth: t.set.requestJSONDepth, Partial: t.singles[inboundDataError] == "1"}
	limits.Tokens = t.piece || t.rules.nested && !limits.Partial
	limits.AsCoraza = !t.piece && !t.rules.nested
	if kind == "" && t.isGraphQL() && !t.piece {
		if body.GraphQL(text, limits, &t.parsed); t.parsed.Problem.Kind != body.None && t.forceRequestBody {
			t.parsed.Reset() // it is something else
		} else {
			kind = "GraphQL"
		}
	}
	if kind == "" && t.forceRequestBody {
		kind = "URLENCODED"
		t.singles[reqbodyProcessor] = kind
	}
	switch kind {
	case "URLENCODED":
		body.URLEncoded(text, limits, &t.parsed)
		t.rawBody()
	case "MULTIPART":
		contentType, _ := t.header("content-type")
		body.Multipart(text, contentType, limits, &t.parsed)
		t.multipart()
	case "JSON":
		body.JSON(text, limits, &t.parsed)
	case "XML":
		limits.Charset = t.charset()
		body.XML(text, limits, &t.parsed)
		t.xml()
		t.nestedIn(xmlValues)
		t.nestedDoctype()
	case "RAW":
		t.rawBody()
	}
	if packed != nil {
		t.readPacked(declared, packed, limits)
	}
	t.fields[argsPost] = appendFields(t.fields[argsPost], t.parsed.Args)
	t.nestedIn(argsPost)
	t.bodyProblem(kind)
}

// isGraphQL reports whether a body that no processor reads is a document of GraphQL.
func (t *Transaction) isGraphQL() bool {
	sent, _ := t.header("content-type")
	return t.rules.nested && mediaType(sent) == "application/graphql"
}

// charset is the encoding that the Content-Type of the body names, "" for none.
func (t *Transaction) charset() string {
	sent, _ := t.header("content-type")
	_, params, _ := mime.ParseMediaType(sent) // "" from one that cannot be read
	return params["charset"]
}

// mediaType is a Content-Type without its parameters, in lower case.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// rawBody sets the variables that hold the body as it is.
func (t *Transaction) rawBody() {
	t.singles[requestBody] = stringOf(t.requestPieces)
	t.singles[requestBodyLength] = t.arena.number(len(t.requestPieces))
}

// bodyProblem sets the variables that tell how a body could be read.
func (t *Transaction) bodyProblem(kind string) {
	problem := &t.parsed.Problem
	switch {
	case problem.Kind == body.None:
	case problem.Kind == body.TooManyFields:
		t.singles[argumentsLimitReached] = "1"
	case problem.Kind == body.Truncated && (kind == "MULTIPART" || t.singles[inboundDataError] == "1"):
		// A form's end that is missing is told by MULTIPART_STRICT_ERROR; one that was cut off here is nobody's fault.
	default:
		t.singles[reqbodyError], t.singles[reqbodyProcessorError] = "1", "1"
		t.singles[reqbodyErrorMsg] = kind + ": " + problem.Text
		t.singles[reqbodyProcessorErrorMsg] = problem.Text
	}
	if t.parsed.Multipart.StrictError {
		t.singles[multipartStrictError] = "1"
	}
}

// multipart sets the variables of a multipart form but its arguments.
func (t *Transaction) multipart() {
	p := &t.parsed
	add := func(to collection, key, value string) {
		t.fields[to] = append(t.fields[to], field{key: key, folded: t.arena.lower(key), value: value})
	}
	for i := range p.Files {
		f := &p.Files[i]
		size := t.arena.number(f.Size)
		for _, name := range [...]string{f.Name, f.OtherName} {
			if name != "" {
				add(files, "", name)
				add(filesSizes, name, size)
			}
		}
		add(filesNames, "", f.Field)
		add(filesBegin, f.Field, f.Begin)
	}
	for _, list := range [...]struct {
		to   collection
		from []body.Field
	}{
		{multipartPartHeaders, p.PartHeaders}, {multipartName, p.PartNames}, {multipartFilename, p.FileNames},
		{multipartFilenameCharset, p.Charsets}, {multipartFilenameLanguage, p.Languages},
	} {
		for i := range list.from {
			add(list.to, list.from[i].Name, list.from[i].Value)
		}
	}
	if p.FilesSize > 0 || len(p.PartNames) > 0 {
		t.singles[filesCombinedSize] = t.arena.number(p.FilesSize)
	}
	m := &p.Multipart
	for one, set := range map[single]bool{
		multipartBoundaryQuoted: m.BoundaryQuoted, multipartDataAfter: m.DataAfter, multipartDataBefore: m.DataBefore,
		multipartDuplicatePartHeader: m.DuplicatePartHeader, multipartHeaderFolding: m.HeaderFolding,
		multipartInvalidQuoting: m.InvalidQuoting, multipartLFLine: m.LFLine, multipartUnmatchedBoundary: m.UnmatchedBoundary,
	} {
		if set {
			t.singles[one] = "1"
		}
	}
}

// xml sets XML: the attributes' values by the path "//@*", the texts by "/*".
func (t *Transaction) xml() {
	for i := range t.parsed.Attributes {
		t.fields[xmlValues] = append(t.fields[xmlValues], field{key: "//@*", folded: "//@*", value: t.parsed.Attributes[i].Value})
	}
	for i := range t.parsed.Texts {
		t.fields[xmlValues] = append(t.fields[xmlValues], field{key: "/*", folded: "/*", value: t.parsed.Texts[i].Value})
	}
}

// readResponseBody takes the response's body apart if a rule says so, else it becomes RESPONSE_BODY.
func (t *Transaction) readResponseBody() {
	text := t.responsePieces
	kind := t.singles[resBodyProcessor]
	t.cost.Work += int64(len(text))
	if kind == "" {
		t.singles[responseBody] = stringOf(text)
		t.singles[responseContentLength] = t.arena.number(len(text))
		return
	}
	if kind != "JSON" {
		return // a rule set that asks for XML looks at no variable of it: there is none
	}
	var parsed body.Fields // its strings live as long as the transaction's, beside the request's
	body.JSON(text, body.Limits{Fields: t.set.arguments, Depth: t.set.responseJSONDepth}, &parsed)
	for i := range parsed.Args {
		f := &parsed.Args[i]
		t.fields[responseArgs] = append(t.fields[responseArgs], field{key: f.Name, folded: strings.ToLower(f.Name), value: f.Value})
	}
	switch parsed.Problem.Kind {
	case body.None:
	case body.TooManyFields:
		t.singles[argumentsLimitReached] = "1"
	default:
		t.singles[resBodyError], t.singles[resBodyProcessorError] = "1", "1"
		t.singles[resBodyErrorMsg] = kind + ": " + parsed.Problem.Text
		t.singles[resBodyProcessorErrorMsg] = parsed.Problem.Text
	}
}

// appendFields adds parsed fields, whose names are compared with case.
func appendFields(to []field, from []body.Field) []field {
	for i := range from {
		to = append(to, field{key: from[i].Name, folded: from[i].Name, value: from[i].Value})
	}
	return to
}
