"""A pod of the oldest boto3 that knows Pod Identity: who am I, by the default chain?"""

import os

import boto3

print(boto3.client("sts", endpoint_url=os.environ["AWS_ENDPOINT_URL_STS"]).get_caller_identity()["Arn"])
