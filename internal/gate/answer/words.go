package answer

import "stormdoor/flow"

// wording is what a visitor is told for one reason: what happened and what to do. It never says what would help an
// attacker more than a visitor.
type wording struct {
	reason              flow.Reason
	status              int
	title, text, advice string
}

// comesBack reports whether the page for a reason comes back by itself: where waiting is all that there is to do.
func comesBack(r flow.Reason) bool { return r == flow.OriginShed || r == flow.OriginQueueFull }

var words = [...]wording{
	{flow.ListRefuse, 403, "You cannot reach this site from here", "The site does not accept visits from your network.", "If you use a VPN or a proxy, try without it."},
	{flow.LimitRate, 429, "One moment, please", "More requests came from your connection than this site can take from one visitor.", "Nothing is lost."},
	{flow.LimitBytes, 429, "One moment, please", "More data went to your connection than this site can give one visitor.", "Nothing is lost."},
	{flow.LimitOriginTime, 429, "One moment, please", "Your requests took more of this site's time than it can give one visitor.", "Nothing is lost."},
	{flow.LimitInspection, 429, "One moment, please", "Your requests took more of this site's time than it can give one visitor.", "Nothing is lost."},
	{flow.LimitQueueFull, 429, "One moment, please", "Many visitors are waiting for this site, and the queue is full.", "Nothing is lost."},
	{flow.RuleMatch, 403, "This request was refused", "A rule of this site does not allow this request.", "If you think that it should, tell the operator."},
	{flow.WAFScore, 403, "This request was refused", "What was sent looks like an attack on this site.", "If you did nothing unusual, tell the operator the reference below."},
	{flow.WAFRule, 403, "This request was refused", "A rule of this site does not allow this request.", "If you think that it should, tell the operator the reference below."},
	{flow.WAFBody, 413, "That is too large", "What you sent is larger than this site can check.", "Send less at once."},
	{flow.WAFFull, 503, "One moment, please", "The site is busy checking what others send.", "Nothing is lost."},
	{flow.WAFCost, 403, "This request was refused", "What was sent takes too long to check.", "If you did nothing unusual, tell the operator the reference below."},
	{flow.OpenAPIPath, 404, "There is nothing here", "This API has no such address.", "Check the address against the description of the API."},
	{flow.OpenAPIMethod, 405, "This cannot be done here", "This API does not take this method at this address.", "Check the method against the description of the API."},
	{flow.OpenAPIParameter, 400, "This request is not complete or not right", "A parameter of the request is not as the description of the API says.", "Check the request against the description of the API."},
	{flow.OpenAPIType, 415, "This kind of content is not taken here", "This API does not take a body of this type at this address.", "Check the type of the content against the description of the API."},
	{flow.OpenAPIBody, 400, "This request is not complete or not right", "The body of the request is not as the description of the API says.", "Check the request against the description of the API."},
	{flow.LeakFound, 502, "The site cannot show this", "What the server behind this site answered is not for visitors.", "This is not your fault; if it stays so, tell the operator the reference below."},
	{flow.StageFailed, 503, "One moment, please", "The site could not check your request.", "This is not your fault."},
	{flow.SiteUnknown, 421, "There is no such site here", "This server does not serve the site that you asked for.", "Check the address."},
	{flow.RequestMalformed, 400, "This request could not be read", "Your browser or program sent something that is not proper HTTP.", "Reload the page, or try another browser."},
	{flow.RequestLoop, 508, "This site is set up in a circle", "The site's server points back at its own front door.", "This is not your fault; the operator has to correct it."},
	{flow.RequestTooLarge, 413, "That is too large", "What you sent is larger than this site accepts.", "Send a smaller file."},
	{flow.RequestUpgrade, 501, "This site has no live connection here", "Your browser asked for a WebSocket, and the server behind this site is not set up for one.", "This is not your fault."},
	{flow.ClientSlow, 408, "That took too long", "Your request did not arrive in time.", "Check your connection and try again."},
	{flow.OriginDown, 502, "The site is not reachable", "The server behind this site does not answer.", "This is not your fault."},
	{flow.OriginTimeout, 504, "The site did not answer in time", "The server behind this site took too long.", "This is not your fault."},
	{flow.OriginBroken, 502, "The site gave no proper answer", "The server behind this site broke off its answer.", "This is not your fault."},
	{flow.OriginShed, 503, "One moment, please", "More visitors are here than this site can serve at once. You have a place in the line, and keep it: the longer you wait, the sooner it is your turn, and reloading the page changes nothing.", "Nothing is lost."},
	{flow.OriginQueueFull, 503, "One moment, please", "More visitors are here than this site can serve at once. You have a place in the line, and keep it: the longer you wait, the sooner it is your turn, and reloading the page changes nothing.", "Nothing is lost."},
	{flow.DoorStopping, 503, "One moment, please", "The site is being restarted.", "Nothing is lost."},
	{flow.DoorFault, 500, "Something went wrong", "The front door of this site failed on your request.", "This is not your fault."},
}

// statusText is the reason phrase of the statuses that refusals use (RFC 9110, section 15; RFC 6585; RFC 5842).
func statusText(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 413:
		return "Content Too Large"
	case 415:
		return "Unsupported Media Type"
	case 421:
		return "Misdirected Request"
	case 429:
		return "Too Many Requests"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	case 508:
		return "Loop Detected"
	}
	return ""
}
