// A pod of the oldest AWS SDK for JavaScript, version 3, that knows Pod Identity: who am I, by the default chain?
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const sts = new STSClient({ endpoint: process.env.AWS_ENDPOINT_URL_STS });
console.log((await sts.send(new GetCallerIdentityCommand({}))).Arn);
