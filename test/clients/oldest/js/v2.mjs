// The same with version 2.
import aws from "aws-sdk";

const sts = new aws.STS({ endpoint: process.env.AWS_ENDPOINT_URL_STS, region: process.env.AWS_REGION });
console.log((await sts.getCallerIdentity().promise()).Arn);
