"""A case of every row that is not of EC2."""

import json

from tests.local.provider.world import OTHER_POLICY, POLICY, TAGS, TRUST, Case

CASES = [
    Case(
        "aws:autoscaling/group:Group",
        lambda w: {
            "minSize": 0,
            "maxSize": 2,
            "desiredCapacity": 1,
            "launchTemplate": {"id": w.template, "version": "1"},
            "vpcZoneIdentifiers": [w.subnet],
            "tags": [{"key": "mesh:role", "value": "service", "propagateAtLaunch": True}],
            "initialLifecycleHooks": [
                {"name": "drain", "lifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "defaultResult": "CONTINUE"}
            ],
        },
        lambda w: {"maxSize": 3},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn", "availabilityZones"),
    ),
    Case(
        "aws:autoscaling/policy:Policy",
        lambda w: {
            "autoscalingGroupName": w.asg,
            "policyType": "TargetTrackingScaling",
            "targetTrackingConfiguration": {
                "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
                "targetValue": 60,
            },
        },
        lambda w: {
            "targetTrackingConfiguration": {
                "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
                "targetValue": 70,
            }
        },
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:autoscaling/lifecycleHook:LifecycleHook",
        lambda w: {"autoscalingGroupName": w.asg, "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
        lambda w: {"heartbeatTimeout": 60},
        lambda w: {"name": f"other-{w.number}"},
    ),
    Case(
        "aws:iam/role:Role",
        lambda w: {"assumeRolePolicy": TRUST, "description": "d"},
        lambda w: {"managedPolicyArns": [w.policy], **TAGS},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn", "uniqueId"),
    ),
    Case(
        "aws:iam/rolePolicy:RolePolicy",
        lambda w: {"role": w.role, "policy": POLICY},
        lambda w: {"policy": OTHER_POLICY},
        lambda w: {"role": w.other_role},
    ),
    Case(
        "aws:iam/policy:Policy",
        lambda w: {"policy": POLICY},
        lambda w: {"policy": OTHER_POLICY},
        lambda w: {"description": "new"},
        outputs=("arn", "policyId"),
    ),
    Case(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        lambda w: {"role": w.role, "policyArn": w.policy},
        None,
        lambda w: {"role": w.other_role},
    ),
    Case(
        "aws:iam/instanceProfile:InstanceProfile",
        lambda w: {"role": w.role},
        lambda w: {"role": w.other_role},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:ssm/parameter:Parameter",
        lambda w: {"name": f"/p/{w.number}", "type": "SecureString", "value": "one"},
        lambda w: {"value": "two", **TAGS},
        lambda w: {"name": f"/q/{w.number}"},
        outputs=("arn", "version"),
    ),
    Case(
        "aws:secretsmanager/secret:Secret",
        lambda w: {"name": f"/s/{w.number}"},
        lambda w: {"description": "d", **TAGS},
        lambda w: {"name": f"/t/{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:secretsmanager/secretVersion:SecretVersion",
        lambda w: {"secretId": w.secret, "secretString": "one"},
        None,
        lambda w: {"secretString": "two"},
        loses_on_delete=False,
        found_again=False,
        outputs=("arn", "versionId"),
    ),
    Case(
        "aws:s3/bucket:Bucket",
        lambda w: {"forceDestroy": True},
        lambda w: TAGS,
        lambda w: {"bucket": f"other-{w.number}"},
        outputs=("arn", "bucketRegionalDomainName"),
    ),
    Case(
        "aws:s3/bucketVersioning:BucketVersioning",
        lambda w: {"bucket": w.bucket, "versioningConfiguration": {"status": "Enabled"}},
        lambda w: {"versioningConfiguration": {"status": "Suspended"}},
        lambda w: {"bucket": w.other_bucket},
        loses_on_delete=False,
    ),
    Case(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        lambda w: {"bucket": w.bucket, "blockPublicAcls": True},
        lambda w: {"blockPublicPolicy": True},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        lambda w: {"bucket": w.bucket, "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
        lambda w: {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}, "bucketKeyEnabled": True}]},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketPolicy:BucketPolicy",
        lambda w: {"bucket": w.bucket, "policy": POLICY},
        lambda w: {"policy": OTHER_POLICY},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        lambda w: {
            "bucket": w.bucket,
            "rules": [{"id": "old", "status": "Enabled", "noncurrentVersionExpiration": {"noncurrentDays": 30}}],
        },
        lambda w: {"rules": [{"id": "old", "status": "Enabled", "filter": {"prefix": "x/"}, "expiration": {"days": 7}}]},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketObjectv2:BucketObjectv2",
        lambda w: {"bucket": w.bucket, "key": "documents/mesh.json", "content": "{}"},
        lambda w: {"content": '{"a": 1}', "tags": {"a": "b"}},
        lambda w: {"key": "other.json"},
        outputs=("etag", "versionId"),
    ),
    Case(
        "aws:cloudwatch/logGroup:LogGroup",
        lambda w: {"retentionInDays": 7},
        lambda w: {"retentionInDays": 14, **TAGS},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:ecr/repository:Repository",
        lambda w: {"imageTagMutability": "IMMUTABLE"},
        lambda w: {"imageTagMutability": "MUTABLE", **TAGS},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn", "repositoryUrl"),
    ),
    Case(
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        lambda w: {
            "repository": w.repository,
            "policy": json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": 1,
                            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
                            "action": {"type": "expire"},
                        }
                    ]
                }
            ),
        },
        lambda w: {
            "policy": json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": 1,
                            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 6},
                            "action": {"type": "expire"},
                        }
                    ]
                }
            )
        },
        lambda w: {"repository": w.other_repository},
    ),
    Case(
        "aws:kms/key:Key",
        lambda w: {"description": "one"},
        lambda w: {"description": "two", "enableKeyRotation": True, **TAGS},
        lambda w: {"keyUsage": "SIGN_VERIFY"},
        found_again=False,
        outputs=("arn", "keyId"),
    ),
    Case(
        "aws:kms/alias:Alias",
        lambda w: {"name": f"alias/a{w.number}", "targetKeyId": w.key},
        lambda w: {"targetKeyId": w.other_key},
        lambda w: {"name": f"alias/b{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:route53/zone:Zone",
        lambda w: {"name": f"z{w.number}.internal", "vpcs": [{"vpcId": w.vpc}]},
        lambda w: {"comment": "c", "vpcs": [{"vpcId": w.vpc}, {"vpcId": w.other_vpc}], **TAGS},
        lambda w: {"name": f"y{w.number}.internal"},
        outputs=("arn", "zoneId"),
    ),
    Case(
        "aws:route53/record:Record",
        lambda w: {"zoneId": w.zone, "name": "postgres", "type": "A", "ttl": 60, "records": ["127.20.0.9"]},
        lambda w: {"records": ["127.20.0.10"]},
        lambda w: {"name": "other"},
        outputs=("fqdn",),
    ),
    Case(
        "tls:index/privateKey:PrivateKey",
        lambda w: {"algorithm": "ECDSA", "ecdsaCurve": "P256"},
        None,
        lambda w: {"ecdsaCurve": "P384"},
        loses_on_delete=False,
        found_again=False,
        outputs=("privateKeyPem", "publicKeyOpenssh"),
    ),
    Case(
        "tls:index/certRequest:CertRequest",
        lambda w: {"privateKeyPem": w.pem, "subject": {"commonName": "a"}},
        None,
        lambda w: {"dnsNames": ["b"]},
        loses_on_delete=False,
        found_again=False,
        outputs=("certRequestPem",),
    ),
    Case(
        "tls:index/selfSignedCert:SelfSignedCert",
        lambda w: {"privateKeyPem": w.pem, "subject": {"commonName": "a"}, "validityPeriodHours": 10, "allowedUses": ["server_auth"]},
        lambda w: {"earlyRenewalHours": 1},
        lambda w: {"dnsNames": ["b"]},
        loses_on_delete=False,
        found_again=False,
        outputs=("certPem", "validityEndTime"),
    ),
    Case(
        "tls:index/locallySignedCert:LocallySignedCert",
        lambda w: {
            "certRequestPem": w.request,
            "caCertPem": w.ca,
            "caPrivateKeyPem": w.pem,
            "validityPeriodHours": 10,
            "allowedUses": ["client_auth"],
        },
        lambda w: {"earlyRenewalHours": 1},
        lambda w: {"allowedUses": ["server_auth"]},
        loses_on_delete=False,
        found_again=False,
        outputs=("certPem", "caKeyAlgorithm"),
    ),
    Case(
        "random:index/randomPassword:RandomPassword",
        lambda w: {"length": 20, "special": False},
        None,
        lambda w: {"length": 21},
        loses_on_delete=False,
        found_again=False,
        outputs=("result",),
    ),
    Case(
        "random:index/randomString:RandomString",
        lambda w: {"length": 8},
        None,
        lambda w: {"length": 9},
        loses_on_delete=False,
        found_again=False,
        outputs=("result",),
    ),
    Case(
        "random:index/randomId:RandomId",
        lambda w: {"byteLength": 4},
        None,
        lambda w: {"byteLength": 5},
        loses_on_delete=False,
        found_again=False,
        outputs=("hex", "dec", "b64Url"),
    ),
    Case(
        "random:index/randomPet:RandomPet", lambda w: {"length": 2}, None, lambda w: {"length": 3}, loses_on_delete=False, found_again=False
    ),
    Case(
        "docker-build:index:Image",
        lambda w: {"context": {"location": "local/provider"}, "tags": ["r/a:1"]},
        lambda w: {"buildArgs": {"A": "b"}},
        lambda w: {},
        loses_on_delete=False,
        found_again=False,
        outputs=("digest", "ref"),
    ),
    Case(
        "docker:index/image:Image",
        lambda w: {"imageName": "reg.example.com/a:1", "build": {"context": "local/provider"}},
        lambda w: {"build": {"context": "local/provider", "args": {"A": "b"}}},
        lambda w: {},
        loses_on_delete=False,
        found_again=False,
        outputs=("repoDigest", "baseImageName"),
    ),
]
