package policy

import "strings"

// parseCountry returns a code in upper case. Whether there is such a country is asked elsewhere.
func parseCountry(s string) (string, error) {
	if len(s) == 2 {
		s = strings.ToUpper(s)
	}
	return s, nil
}

// normalise brings names into the one spelling that the stages compare: hosts and addresses, the header of the proxies,
// countries. What cannot be read is left as it is, and told to bad.
func (p *Policy) normalise(bad func(path string, err error)) {
	each := func(list []string, path string, parse func(string) (string, error)) {
		for i, s := range list {
			if s == "" {
				continue
			}
			one, err := parse(s)
			if err != nil {
				bad(itemPath(path, i), err)
				continue
			}
			list[i] = one
		}
	}
	each(p.Listen.HTTP, "listen.http", parseListen)
	each(p.Listen.HTTPS, "listen.https", parseListen)
	for i := range p.Sites {
		each(p.Sites[i].Hosts, itemPath("sites", i)+".hosts", parseHost)
	}
	for i := range p.Lists {
		each(p.Lists[i].Countries, itemPath("lists", i)+".countries", parseCountry)
	}
	for i := range p.Limits {
		if name, ok := strings.CutPrefix(string(p.Limits[i].By), "header:"); ok {
			p.Limits[i].By = LimitKey("header:" + strings.ToLower(name))
		}
	}
	p.Trust.Header = strings.ToLower(p.Trust.Header)
}
