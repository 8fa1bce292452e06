package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxLength is IAM's bound of a document in characters, whatever it is for. The quotas of each use are smaller and
// belong to who stores it.
const maxLength = 131072

// The versions of the language. The older one, which is also that of a document without Version, has no variables.
const (
	version2012 = "2012-10-17"
	version2008 = "2008-10-17"
)

// Parse compiles a document. It refuses everything that Evaluate would not enforce as written, with an error of kind
// MalformedPolicy that begins with IAM's sentence and names the element and what is accepted there.
func Parse(use Use, text string) (*Document, error) { return first(parse(parser{use: use}, text)) }

// Stored compiles a document that was taken once. What would be enforced as written and is refused only to tell its writer,
// as Parse does, must not make a record unreadable that is older than the refusal.
func Stored(use Use, text string) (*Document, error) {
	return first(parse(parser{use: use, stored: true}, text))
}

func first(d *Document, _ *node, problems []*malformed) (*Document, error) {
	if len(problems) > 0 {
		return nil, problems[0].fault()
	}
	return d, nil
}

// parse returns all that is wrong with a document, or the document and what it was read from.
func parse(p parser, text string) (*Document, *node, []*malformed) {
	refused := func(err error) (*Document, *node, []*malformed) {
		return nil, nil, []*malformed{at(0, err).(*malformed)}
	}
	if n := utf8.RuneCountInString(text); n > maxLength {
		return refused(fmt.Errorf("%d characters: at most %d are accepted", n, maxLength))
	}
	if !utf8.ValidString(text) {
		return refused(errors.New("not UTF-8"))
	}
	root, err := readJSON(text)
	if err != nil {
		return refused(err)
	}
	d := p.document(text, &root)
	return d, &root, p.problems
}

// parser reads the statements of one document. It goes on after a problem, so that one reading tells of all.
type parser struct {
	use       Use
	stored    bool // see Stored
	variables bool
	problems  []*malformed
}

// keep notes what is wrong, if something is.
func (p *parser) keep(err error) {
	if err != nil {
		p.problems = append(p.problems, at(0, err).(*malformed))
	}
}

func (p *parser) document(text string, root *node) *Document {
	if root.kind != anObject {
		p.keep(at(root.at, fmt.Errorf("it is %s: an object is accepted", root.kind)))
		return nil
	}
	d := &Document{text: text, use: p.use}
	version := version2008
	list, given := []node(nil), false
	for i := range root.members {
		m := &root.members[i]
		place, err := m.value.at, error(nil)
		switch m.name {
		case "Version":
			version, err = m.value.str()
			if err == nil && version != version2012 && version != version2008 {
				err = fmt.Errorf("%q: %q and %q are accepted", version, version2012, version2008)
			}
		case "Id":
			d.id, err = m.value.str()
		case "Statement":
			given = true
			list, err = m.value.list(anObject)
		default:
			place, err = m.at, errors.New("unknown element: Version, Id and Statement are accepted")
		}
		p.keep(within(m.name, place, err))
	}
	if !given {
		p.keep(at(root.at, errors.New(`"Statement" is missing: an object or a list of objects is accepted`)))
	}
	p.variables = version == version2012
	d.variables = p.variables
	sids := map[string]bool{}
	for i := range list {
		if len(p.problems) >= mostFindings {
			break
		}
		before := len(p.problems)
		s := p.statement(&list[i])
		if s.sid != "" && sids[s.sid] {
			p.keep(within("Sid", list[i].at, saying("Statement IDs (SID) in a single policy must be unique.", "%q stands twice: each Sid may stand once", s.sid)))
		}
		for _, m := range p.problems[before:] {
			m.path = fmt.Sprintf("statement[%d]: ", i) + m.path
		}
		s.position, s.from, s.to, sids[s.sid] = i, list[i].at, list[i].end, true
		d.statements = append(d.statements, s)
	}
	if len(p.problems) > 0 {
		return nil
	}
	d.index, d.keys = newIndex(d.statements), keysOf(d.statements)
	return d
}

const elements = "Sid, Effect, Action, NotAction, Resource, NotResource, Principal, NotPrincipal and Condition"

// statement reads one statement. Problems begin with the element's name.
func (p *parser) statement(n *node) Statement {
	var s Statement
	given := map[string]bool{}
	for i := range n.members {
		m := &n.members[i]
		err := p.element(&s, m.name, &m.value)
		place := m.value.at
		if u := (unknownElement{}); errors.As(err, &u) || given[contrary[m.name]] {
			place = m.at
		}
		if given[contrary[m.name]] {
			err = fmt.Errorf("only one of %s and %s is accepted", strings.TrimPrefix(m.name, "Not"), "Not"+strings.TrimPrefix(m.name, "Not"))
		}
		p.keep(within(m.name, place, err))
		given[m.name] = true
	}
	missing := func(element string) bool { return !given[element] && !given[contrary[element]] }
	for _, m := range []struct {
		is         bool
		said, text string
	}{
		{missing("Effect"), "", `"Effect" is missing: "Allow" and "Deny" are accepted`},
		{missing("Action"), "Policy statement must contain actions.", `"Action" is missing: Action or NotAction is accepted`},
		{missing("Principal") && p.use == Trust, "Missing required field Principal.", `"Principal" is missing: a trust policy says who may assume the role`},
		{missing("Principal") && p.use == Resource, "Missing required field Principal.", `"Principal" is missing: Principal or NotPrincipal is accepted`},
		{missing("Resource") && p.use != Trust, "Policy statement must contain resources.", `"Resource" is missing: Resource or NotResource is accepted`},
	} {
		if m.is {
			p.keep(at(n.at, saying(m.said, "%s", m.text)))
		}
	}
	if s.principals != nil && s.principals.not && s.effect == Allow {
		p.keep(at(n.at, errors.New("NotPrincipal: accepted with the effect Deny alone")))
	}
	if s.resources != nil && !s.notResource {
		s.resourceKeys = resourceKeysOf(s.resources)
	}
	if !s.notAction {
		s.serviceKeys = serviceKeysOf(s.actions)
	}
	return s
}

// contrary names the element that may not stand beside another, since both say the same thing.
var contrary = map[string]string{
	"Action": "NotAction", "NotAction": "Action", "Resource": "NotResource", "NotResource": "Resource",
	"Principal": "NotPrincipal", "NotPrincipal": "Principal",
}

type unknownElement struct{}

func (unknownElement) Error() string { return "unknown element: " + elements + " are accepted" }

func (p *parser) element(s *Statement, name string, n *node) (err error) {
	switch name {
	case "Sid":
		s.sid, err = p.readSid(n)
	case "Effect":
		s.effect, err = readEffect(n)
	case "Action", "NotAction":
		s.notAction = name == "NotAction"
		s.actions, err = readAll(n, p.readAction)
	case "Resource", "NotResource":
		if p.use == Trust {
			return saying("Has prohibited field "+name+".", "not accepted in a trust policy: the role is the resource")
		}
		s.notResource = name == "NotResource"
		s.resources, err = readAll(n, p.readResource)
	case "Principal", "NotPrincipal":
		switch {
		case p.use != Trust && p.use != Resource:
			return saying("Policy document should not specify a principal.",
				"accepted only in a trust policy: this document is for the principal it is attached to")
		case p.use == Trust && name == "NotPrincipal":
			return errors.New("not accepted in a trust policy: Principal is, with a condition on aws:PrincipalArn for exceptions")
		}
		s.principals, err = readPrincipals(n, name == "NotPrincipal", p.use)
	case "Condition":
		s.conditions, err = p.readConditions(n)
	default:
		return unknownElement{}
	}
	return err
}

// readSid reads a statement's name. IAM takes letters and digits; policies of resources have others, as at S3.
func (p *parser) readSid(n *node) (string, error) {
	sid, err := n.str()
	if err != nil || p.use == Resource {
		return sid, err
	}
	for i := range len(sid) {
		if !isAlphanumeric(sid[i]) {
			return "", saying("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
				"%q: letters and digits are accepted", sid)
		}
	}
	return sid, nil
}

func readEffect(n *node) (Effect, error) {
	switch s, err := n.str(); {
	case err != nil:
		return ImplicitDeny, err
	case s == "Allow":
		return Allow, nil
	case s == "Deny":
		return Deny, nil
	default:
		return ImplicitDeny, fmt.Errorf(`%q: "Allow" and "Deny" are accepted`, s)
	}
}

// readAll compiles each string of a string or list.
func readAll(n *node, read func(string) (pattern, error)) ([]pattern, error) {
	list, err := n.strings()
	if err != nil {
		return nil, err
	}
	all := make([]pattern, len(list))
	for i, s := range list {
		if all[i], err = read(s.text); err != nil {
			return nil, at(s.at, err)
		}
	}
	return all, nil
}

// readAction compiles an action of the document's use.
func (p *parser) readAction(s string) (pattern, error) {
	action, err := readAction(s)
	if err == nil && p.use == Trust && !p.stored && !slices.ContainsFunc(trustActions[:], func(n string) bool { return action.match("sts:"+n, nil) == yes }) {
		err = saying("AssumeRole policy may only specify STS AssumeRole actions.", "%q: actions of sts are accepted, which are %s, with * and ? in the name",
			s, strings.Join(trustActions[:], ", "))
	}
	return action, err
}

// trustActions are what a trust policy can be asked about
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-custom.html).
var trustActions = [...]string{"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot", "SetContext", "SetSourceIdentity", "TagSession"}

// readAction compiles an action. The service has no wildcards, as at IAM: with that the index may rely on it.
func readAction(s string) (pattern, error) {
	d := dialect{wildcards: true, fold: true}
	if s == "*" || s == "*:*" {
		return compile("*", d)
	}
	service, name, found := strings.Cut(s, ":")
	good := service != "" && len(service) <= 64
	for i := range len(service) {
		good = good && (isAlphanumeric(service[i]) || service[i] == '-')
	}
	said := ""
	switch {
	case !found:
		said = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	case strings.Contains(name, ":"):
		said = "Actions/Condition can contain only one colon."
	case !good:
		said = "Vendor " + service + " is not valid"
	}
	good = good && name != ""
	for i := range len(name) {
		good = good && (isAlphanumeric(name[i]) || strings.IndexByte("*?-_", name[i]) >= 0)
	}
	if !good {
		return pattern{}, saying(said, "%q: * and SERVICE:NAME, with * and ? in the name, are accepted", s)
	}
	return compile(s, d)
}

// readResource compiles a resource. An ARN of fewer than six segments could match nothing unless it ends in a star; in a
// Deny that would be a hole, so it is refused.
func (p *parser) readResource(s string) (pattern, error) {
	whole := len(segments(s, p.variables)) == 6 || strings.HasSuffix(s, "*")
	if s != "*" && (!strings.HasPrefix(s, "arn:") || !whole) {
		return pattern{}, saying("Resource "+s+` must be in ARN format or "*".`,
			`"*" and ARNs, arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, with * and ? are accepted`)
	}
	return compile(s, dialect{wildcards: true, variables: p.variables})
}

// eachKey yields the context keys that conditions and variables name, in the document's order.
func eachKey(statements []Statement, yield func(key)) {
	for i := range statements {
		s := &statements[i]
		for j := range s.resources {
			s.resources[j].eachVariable(yield)
		}
		for j := range s.conditions {
			c := &s.conditions[j]
			yield(c.key)
			for k := range c.values {
				c.values[k].text.eachVariable(yield)
				for l := 0; c.values[k].arn != nil && l < len(c.values[k].arn); l++ {
					c.values[k].arn[l].eachVariable(yield)
				}
			}
		}
	}
}

// eachVariable yields the keys of the pattern's variables.
func (p *pattern) eachVariable(yield func(key)) {
	if p.slots == 0 {
		return
	}
	for _, run := range p.runs {
		for i := range run {
			if run[i].kind == atomVariable {
				yield(run[i].key)
			}
		}
	}
}

// keysOf returns the context keys in lower case, sorted, each once.
func keysOf(statements []Statement) []string {
	var all []string
	eachKey(statements, func(k key) { all = append(all, k.lower) })
	slices.Sort(all)
	return slices.Compact(all)
}

func (p *parser) readConditions(n *node) ([]condition, error) {
	if n.kind != anObject {
		return nil, fmt.Errorf("it is %s: an object of operators is accepted", n.kind)
	}
	var all []condition
	for i := range n.members {
		m := &n.members[i]
		c, err := readOperator(m.name)
		if err != nil {
			return nil, at(m.at, err)
		}
		if m.value.kind != anObject || len(m.value.members) == 0 {
			return nil, at(m.value.at, fmt.Errorf("%s: an object of context keys is accepted, with one at least", m.name))
		}
		for j := range m.value.members {
			k := &m.value.members[j]
			if err := p.readKey(&c, k); err != nil {
				return nil, within(m.name, k.at, within(strconv.Quote(k.name), k.at, err))
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// readKey fills in the key of a condition and its values.
func (p *parser) readKey(c *condition, m *member) error {
	if err := checkKey(m.name); err != nil {
		return err
	}
	kinds := []nodeKind{aString}
	switch c.op.domain {
	case boolean, absence:
		kinds = append(kinds, aBoolean)
	case number, date:
		kinds = append(kinds, aNumber)
	}
	list, err := m.value.scalars(kinds...)
	if err != nil {
		return err
	}
	c.key, c.values = newKey(m.name), make([]operand, len(list))
	for i, s := range list {
		if c.values[i], err = c.op.readOperand(s.text, p.variables); err != nil {
			return at(s.at, err)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
