package iam

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

// simulateCustomPolicy decides questions by policies that the call brings.
func (d *door) simulateCustomPolicy(ctx context.Context, c *api.Call) (any, error) {
	noteSimulation(c)
	if err := c.Authorize("iam:SimulateCustomPolicy", "*"); err != nil {
		return nil, err
	}
	if len(texts(c, "PolicyInputList")) == 0 {
		return nil, missing("policyInputList")
	}
	return d.simulate(ctx, c, &simulation{})
}

// simulatePrincipalPolicy decides questions by the policies of a user or role, and those that the call brings.
func (d *door) simulatePrincipalPolicy(ctx context.Context, c *api.Call) (any, error) {
	s, err := d.principalSource(c, "iam:SimulatePrincipalPolicy")
	if err != nil {
		return nil, err
	}
	return d.simulate(ctx, c, s)
}

// principalSource asks for an action on the user or role that the call names, and returns its policies.
func (d *door) principalSource(c *api.Call, action string) (*simulation, error) {
	noteSimulation(c)
	source := c.Form.Get("PolicySourceArn")
	name, err := arn.Parse(source)
	if err != nil || name.Service != "iam" {
		return nil, fault.New(fault.BadState, "Invalid Entity Arn: %.2048s does not clearly define entity type and name.", source)
	}
	if err := c.Authorize(action, source); err != nil {
		return nil, err
	}
	s := &simulation{}
	return s, d.source(s, name)
}

type contextKeysResult struct {
	Keys names `xml:"ContextKeyNames"`
}

// contextKeysForCustomPolicy lists what a simulation of the policies would have to be told.
func (d *door) contextKeysForCustomPolicy(_ context.Context, c *api.Call) (any, error) {
	noteSimulation(c)
	if err := c.Authorize("iam:GetContextKeysForCustomPolicy", "*"); err != nil {
		return nil, err
	}
	if len(texts(c, "PolicyInputList")) == 0 {
		return nil, missing("policyInputList")
	}
	return contextKeys(c, &simulation{ids: map[*policy.Document]string{}})
}

func (d *door) contextKeysForPrincipalPolicy(_ context.Context, c *api.Call) (any, error) {
	s, err := d.principalSource(c, "iam:GetContextKeysForPrincipalPolicy")
	if err != nil {
		return nil, err
	}
	return contextKeys(c, s)
}

func contextKeys(c *api.Call, s *simulation) (any, error) {
	brought, err := s.documents(c, "PolicyInputList", policy.Identity)
	if err != nil {
		return nil, err
	}
	all := simulation{layers: policy.Layers{Identity: slices.Concat(s.layers.Identity, s.layers.Boundary, brought)}}
	return contextKeysResult{names{all.missing()}}, nil
}

// noteSimulation puts what is asked into the record. Documents are left out: they are not in force, and may be large.
func noteSimulation(c *api.Call) {
	parameters := told(c, "PolicySourceArn", "CallerArn", "ResourceOwner")
	parameters["actionNames"], parameters["resourceArns"] = texts(c, "ActionNames"), texts(c, "ResourceArns")
	c.Event.RequestParameters = parameters
}

// simulation is what one call asks, all questions of it.
type simulation struct {
	layers   policy.Layers
	ids      map[*policy.Document]string // how an answer names each policy
	resource []*policy.Document          // of the resources
	caller   policy.Principal
	context  policy.Context
	owner    string // the account of resources that do not name theirs

	actions, resources []string
	given              bool // the resources are the call's
	lacking            names

	began time.Time
	size  int // of the answer, about
}

// source takes the policies of a user or role, as they are now.
func (d *door) source(s *simulation, name arn.ARN) error {
	kind, _, _ := strings.Cut(name.Resource, "/")
	switch kind {
	case "user":
		last := name.Resource[strings.LastIndexByte(name.Resource, '/')+1:]
		u, err := d.directory.User(name.Account, last)
		if err == nil && u.ARN() != name {
			err = fault.New(fault.NotFound, "The user with name %s cannot be found.", last)
		}
		if err != nil {
			return err
		}
		p, err := d.directory.UserPrincipal(u, "")
		if err != nil {
			return err
		}
		return d.take(s, p)
	case "role":
		r, err := d.directory.RoleByARN(name)
		if err != nil {
			return err
		}
		p, err := d.directory.SessionPrincipal(r, &session.Session{Name: simulated})
		if err != nil {
			return err
		}
		return d.take(s, p)
	}
	return fault.New(fault.BadState, "Invalid Entity Arn: %.2048s: the ARN of a user or role is accepted", name)
}

// simulated is the name of the session of a role that is asked about as such.
const simulated = "simulated"

// take makes a principal the caller, with its policies and condition keys. The time of a session is that of no session. The
// answer shows a managed policy by its own name.
func (d *door) take(s *simulation, p *directory.Principal) error {
	s.layers, s.owner = p.Layers, p.Account
	s.caller = policy.Principal{Kind: policy.AWS, Account: p.Account, Names: p.Names(), Bounded: len(p.Layers.Boundary) > 0}
	for _, e := range p.Context() {
		if e.Key != "aws:TokenIssueTime" {
			s.context = append(s.context, e)
		}
	}
	all, err := d.directory.PolicySources(p)
	s.ids = make(map[*policy.Document]string, len(all))
	for _, from := range all {
		if from.Managed != nil {
			s.ids[from.Document] = from.Managed.Name
		} else {
			s.ids[from.Document] = from.Kind.String() + "_" + from.Of.Name + "_" + from.Inline
		}
	}
	return err
}

// read adds what the call brings.
func (s *simulation) read(c *api.Call) error {
	for name := range c.Form {
		for _, other := range []string{"ResourceHandlingOption", "OrderedOrganizationPolicyInputList", "PolicyExclusionList"} {
			if name == other || strings.HasPrefix(name, other+".") {
				return fault.New(fault.Unsupported, "The parameter %s is not supported yet: leave it out.", other)
			}
		}
	}
	if s.ids == nil {
		s.ids = map[*policy.Document]string{}
	}
	brought, err := s.documents(c, "PolicyInputList", policy.Identity)
	if err != nil {
		return err
	}
	s.layers.Identity = slices.Concat(s.layers.Identity, brought)
	boundary, err := s.documents(c, "PermissionsBoundaryPolicyInputList", policy.Identity)
	switch {
	case err != nil:
		return err
	case len(boundary) > 1:
		return fault.New(fault.BadState, "The list of Permissions Boundary policies cannot exceed 1 items.")
	case len(boundary) == 1:
		s.layers.Boundary = boundary // in place of the source's
	}
	if err := s.readCaller(c); err != nil {
		return err
	}
	s.caller.Bounded = len(s.layers.Boundary) > 0
	if text := c.Form.Get("ResourcePolicy"); text != "" {
		doc, err := policy.Parse(policy.Resource, text)
		if err != nil {
			return invalidPolicy("ResourcePolicy", err)
		}
		if s.caller.Kind == 0 {
			return fault.New(fault.BadState, "CallerArn is missing: a ResourcePolicy needs a caller whom it may name")
		}
		s.resource, s.ids[doc] = []*policy.Document{doc}, "ResourcePolicy"
	}
	if err := s.readQuestions(c); err != nil {
		return err
	}
	return s.readContext(c)
}

// documents reads a list of policies and names each by its place.
func (s *simulation) documents(c *api.Call, list string, use policy.Use) ([]*policy.Document, error) {
	var all []*policy.Document
	for i, text := range texts(c, list) {
		name := list + "." + strconv.Itoa(i+1)
		doc, err := policy.Parse(use, text)
		if err != nil {
			return nil, invalidPolicy(name, err)
		}
		s.ids[doc] = name
		all = append(all, doc)
	}
	return all, nil
}

// invalidPolicy is how the simulator refuses a document, for which it has no MalformedPolicyDocument.
func invalidPolicy(name string, err error) error {
	return fault.New(fault.BadState, "Invalid policy in %s: %s", name, fault.Message(err))
}

// readCaller reads who is asked about, where it is not the source.
func (s *simulation) readCaller(c *api.Call) error {
	if text := c.Form.Get("CallerArn"); text != "" {
		name, err := arn.Parse(text)
		who := policy.Principal{Kind: policy.AWS, Account: name.Account, Names: []string{text}}
		kind, rest, _ := strings.Cut(name.Resource, "/")
		keys := policy.Context{one("aws:PrincipalAccount", name.Account), one("aws:PrincipalArn", text)}
		switch {
		case err == nil && name.Service == "iam" && name.Account != "" && kind == "user" && rest != "":
			keys = append(keys, one("aws:PrincipalType", "User"), one("aws:username", rest[strings.LastIndexByte(rest, '/')+1:]))
		case err == nil && name.Service == "iam" && name.Account != "" && kind == "role" && rest != "":
			keys = append(keys, one("aws:PrincipalType", "AssumedRole"))
			who.Names = []string{arn.AssumedRole(name.Account, rest[strings.LastIndexByte(rest, '/')+1:], simulated).String(), text}
		case err == nil && name.Service == "sts" && name.Account != "" && kind == "assumed-role" && strings.Count(rest, "/") == 1:
			role, _, _ := strings.Cut(rest, "/")
			who.Names = append(who.Names, arn.Role(name.Account, "/", role).String())
			keys[1] = one("aws:PrincipalArn", who.Names[1])
			keys = append(keys, one("aws:PrincipalType", "AssumedRole"))
		default:
			return fault.New(fault.BadState, "Invalid CallerArn: %.2048s: the ARN of a user, a role or a role session is accepted", text)
		}
		if len(s.caller.Names) == 0 || s.caller.Names[0] != text {
			s.caller, s.context = who, keys
		}
		s.owner = name.Account
	}
	if text := c.Form.Get("ResourceOwner"); text != "" {
		name, err := arn.Parse(text)
		if err != nil || name != arn.Root(name.Account) {
			return fault.New(fault.BadState, "Invalid ResourceOwner: %.2048s: arn:aws:iam::ACCOUNT:root is accepted", text)
		}
		s.owner = name.Account
	}
	return nil
}

func one(key, value string) policy.Entry { return policy.Entry{Key: key, Values: []string{value}} }

// maxResources is how many one simulation may ask about.
const maxResources = 100

func (s *simulation) readQuestions(c *api.Call) error {
	s.actions = texts(c, "ActionNames")
	if len(s.actions) == 0 {
		return missing("actionNames")
	}
	for _, a := range s.actions {
		service, name, _ := strings.Cut(a, ":")
		if service == "" || name == "" || strings.ContainsAny(a, "*? ") || strings.Contains(name, ":") {
			return fault.New(fault.BadState, "Invalid ActionName: %.200s: SERVICE:NAME without wildcards is accepted", a)
		}
	}
	s.resources = texts(c, "ResourceArns")
	if s.given = len(s.resources) > 0; !s.given {
		s.resources = []string{"*"}
	}
	if len(s.resources) > maxResources {
		return fault.New(fault.BadState, "ResourceArns: at most %d are accepted, got %d", maxResources, len(s.resources))
	}
	for _, r := range s.resources {
		if r != "*" && (!strings.HasPrefix(r, "arn:") || strings.Count(r, ":") < 5) {
			return fault.New(fault.BadState, "Invalid ResourceArn: %.2048s: * and an ARN of six parts are accepted", r)
		}
	}
	return nil
}

// readContext reads the entries of the context: each hides what is known of the caller under its key.
func (s *simulation) readContext(c *api.Call) error {
	var numbers []string
	for name := range c.Form {
		if rest, ok := strings.CutPrefix(name, "ContextEntries.member."); ok {
			if n, field, _ := strings.Cut(rest, "."); field == "ContextKeyName" {
				numbers = append(numbers, n)
			}
		}
	}
	seen := map[string]bool{}
	for _, n := range numbers {
		entry := "ContextEntries.member." + n + "."
		key, kind := c.Form.Get(entry+"ContextKeyName"), c.Form.Get(entry+"ContextKeyType")
		values := texts(c, entry+"ContextKeyValues")
		single, list := strings.CutSuffix(kind, "List")
		switch {
		case !strings.Contains(key, ":"):
			return fault.New(fault.BadState, "Invalid ContextKeyName: %.256s: 5 to 256 characters with a colon are accepted", key)
		case kind == "":
			return fault.New(fault.BadState, "ContextKeyType of %s is missing", key)
		case !list && len(values) > 1:
			return fault.New(fault.BadState, "ContextKeyValues of %s: %d values are given, and its type %s has one", key, len(values), kind)
		case seen[strings.ToLower(key)]:
			return fault.New(fault.BadState, "The context key %s is given twice.", key)
		}
		seen[strings.ToLower(key)] = true
		for i, v := range values {
			var err error
			if values[i], err = policy.ReadContext(single, v); err != nil {
				return fault.New(fault.BadState, "Invalid context entry %s: %s", key, fault.Message(err))
			}
		}
		s.set(policy.Entry{Key: key, Values: values})
	}
	return nil
}

func (s *simulation) set(e policy.Entry) {
	for i := range s.context {
		if strings.EqualFold(s.context[i].Key, e.Key) {
			s.context[i] = e
			return
		}
	}
	s.context = append(s.context, e)
}
