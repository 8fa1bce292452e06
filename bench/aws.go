package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/dev"
)

const (
	awsAccount               = "444455556666"
	awsRole                  = "arn:aws:iam::" + awsAccount + ":role/pay-api"
	awsRounds, awsRequests   = 5, 1000
	awsLatency, awsProfiled  = 500, 2000
	awsKeyID, awsSecret      = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	awsAnswer                = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROAEXAMPLEEXAMPLE123:%[1]s</AssumedRoleId><Arn>arn:aws:sts::` + awsAccount + `:assumed-role/pay-api/%[1]s</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>` + awsSecret + `</SecretAccessKey><SessionToken>%[2]s</SessionToken><Expiration>%[3]s</Expiration></Credentials><PackedPolicySize>56</PackedPolicySize></AssumeRoleResult><ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata></AssumeRoleResponse>`
	awsTokenSize, awsLongest = 1000, 6 * time.Hour
)

// sts answers every AssumeRole at once, as long as AWS does: what is measured is what stands before it.
func sts() http.Handler {
	token := strings.Repeat("t", awsTokenSize)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		life, _ := strconv.Atoi(r.PostFormValue("DurationSeconds")) // 0 is refused by whoever asked
		ends := time.Now().Add(time.Duration(life) * time.Second).UTC().Format(time.RFC3339)
		_, _ = fmt.Fprintf(w, awsAnswer, r.PostFormValue("RoleSessionName"), token, ends)
	})
}

// aws measures what a pod's credentials of AWS cost beside STS's own part: every token is of a pod that was never seen, so
// STS is asked for each.
func (b *bench) aws(ctx context.Context) (err error) {
	progress("an account with AWS behind it: %d rounds of %d requests", awsRounds, awsRequests)
	amazon, err := b.start(ctx, "sts")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, amazon.stop()) }()
	l, err := b.startLanyard(ctx, "aws", "AWS_ACCESS_KEY_ID="+awsKeyID, "AWS_SECRET_ACCESS_KEY="+awsSecret)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	c, err := l.joinAWS(ctx, "http://"+amazon.Address)
	if err != nil {
		return err
	}
	tokens, err := c.podTokens("api", (awsRounds+1)*awsRequests+awsLatency+awsProfiled)
	if err != nil {
		return err
	}
	ours := &side{pid: c.cmd.Process.Pid, address: c.address, requests: func(round int) ([][]byte, error) {
		return c.exchange(tokens[(round+1)*awsRequests : (round+2)*awsRequests])
	}}
	if err := b.turns(ctx, awsRounds, ours); err != nil {
		return err
	}
	took, bare, err := c.besideSTS(ctx, amazon.Address, tokens[(awsRounds+1)*awsRequests:][:awsLatency])
	if err != nil {
		return err
	}
	b.rows = append(b.rows,
		atMost(250, row{
			what: "AWS account: a pod's first credentials, CPU", ours: ours.cost(), than: "STS's part is in another process", unit: "µs", how: times(awsRounds, awsRequests),
		}),
		atMost(quantile(bare, 0.5)+1, row{
			what: "AWS account: token to credentials, p50", ours: quantile(took, 0.5), floor: quantile(bare, 0.5), than: "the same question, asked of the same STS; 1 ms more is allowed",
			unit: "ms", how: fmt.Sprintf("%d", awsLatency),
		}))
	if b.profiles == "" {
		return nil
	}
	return b.profileLoad(ctx, c, "aws", 1, tokens[(awsRounds+1)*awsRequests+awsLatency:])
}

// besideSTS takes the time of one request after the other, and of the bare question between them.
func (c *cluster) besideSTS(ctx context.Context, address string, tokens []string) (took, bare []float64, err error) {
	requests, err := c.exchange(tokens)
	if err != nil {
		return nil, nil, err
	}
	at := awssts.Place{Region: region, Endpoint: "http://" + address}
	direct := awssts.New(awssts.Config{Load: func(context.Context) (aws.Config, error) {
		return aws.Config{Credentials: credentials.NewStaticCredentialsProvider(awsKeyID, awsSecret, "")}, nil
	}})
	for _, r := range requests {
		began := time.Now()
		if _, err := ask(ctx, c.address, r); err != nil {
			return nil, nil, err
		}
		took = append(took, millis(time.Since(began)))
		began = time.Now()
		_, err := direct.Assume(ctx, at, nil, awssts.Assumption{
			Role: arn.Role(awsAccount, "/", "pay-api"), SessionName: "eks-bench-api", ExternalID: "bench", Longest: awsLongest,
			Tags: []awssts.Tag{{Key: "eks-cluster-name", Value: clusterName}, {Key: "kubernetes-namespace", Value: namespace}},
		})
		if err != nil {
			return nil, nil, err
		}
		bare = append(bare, millis(time.Since(began)))
	}
	return took, bare, nil
}

// joinAWS makes the account, its cluster and the agent's sessions.
func (l *lanyard) joinAWS(ctx context.Context, endpoint string) (*cluster, error) {
	var made struct{ AccessKeyID, SecretAccessKey string }
	err := l.call(l.key)(ctx, "lanyard", http.MethodPost, "/lanyard/v1/accounts", map[string]any{
		"name": "aws", "accountId": awsAccount, "aws": map[string]any{"region": region, "endpoint": endpoint},
	}, &made)
	if err != nil {
		return nil, err
	}
	own := *l
	own.key = keyPair{id: made.AccessKeyID, secret: made.SecretAccessKey}
	c := &cluster{lanyard: &own}
	if c.practice, err = dev.NewPractice(clusterName, awsAccount); err != nil {
		return nil, err
	}
	as := func(id, secret string) dev.Call { return l.call(keyPair{id: id, secret: secret}) }
	if err := dev.JoinPractice(ctx, own.call(own.key), as, c.practice); err != nil {
		return nil, err
	}
	for i := range agents {
		session, err := c.agentSession(ctx, fmt.Sprintf("node-%d", i))
		if err != nil {
			return nil, fmt.Errorf("the agent's identity: %w", err)
		}
		c.nodes = append(c.nodes, session)
	}
	return c, own.call(own.key)(ctx, "eks", http.MethodPost, "/clusters/"+clusterName+"/pod-identity-associations", map[string]string{
		"namespace": namespace, "serviceAccount": "api", "roleArn": awsRole,
	}, nil)
}
