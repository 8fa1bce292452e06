// Command oldest is a pod of the oldest SDKs for Go that know Pod Identity: it asks STS, at AWS_ENDPOINT_URL_STS, who it is, with
// the credentials of the default chain.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	first "github.com/aws/aws-sdk-go/service/sts"
)

func main() {
	ask := map[string]func(endpoint string) (string, error){"1": askFirst, "2": askSecond}[os.Args[1]]
	arn, err := ask(os.Getenv("AWS_ENDPOINT_URL_STS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(arn)
}

func askFirst(endpoint string) (string, error) {
	s, err := session.NewSession(&aws.Config{Endpoint: &endpoint})
	if err != nil {
		return "", err
	}
	got, err := first.New(s).GetCallerIdentity(&first.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return *got.Arn, nil
}

func askSecond(endpoint string) (string, error) {
	c, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		return "", err
	}
	got, err := sts.NewFromConfig(c, func(o *sts.Options) { o.BaseEndpoint = &endpoint }).GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return *got.Arn, nil
}
