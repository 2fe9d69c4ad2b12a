"""What the gate keeps, what it lets through, and whom it tells; the application behind it counts."""

from typing import Any

from local.cloud.server import Gate

DESCRIBE = b"Action=DescribeInstances&Version=2016-11-15"
RUN = b"Action=RunInstances&Version=2016-11-15"
FIND_MEMBERS = b"Action=DescribeAutoScalingInstances&Version=2011-01-01"


class Counter:
    """A WSGI application whose answer is how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.changes = 0
        self.gate = Gate(self, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def __call__(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        self.asked += 1
        if environ["RAW_URI"] == "/broken":
            raise KeyError("a < b")
        start("200 OK", [])
        return [str(self.asked).encode()]

    def ask(
        self, service: str, body: bytes = b"", method: str = "POST", path: str = "/", region: str = "eu-central-1", **headers: str
    ) -> str:
        scope = f"AWS4-HMAC-SHA256 Credential=local/20250101/{region}/{service}/aws4_request, SignedHeaders=host"
        environ = {"REQUEST_METHOD": method, "RAW_URI": path, "HTTP_AUTHORIZATION": scope} | headers
        return self.gate.answer(environ, body).body.decode()


def test_a_read_is_asked_once_until_something_changes() -> None:
    cloud = Counter()
    assert [cloud.ask("ec2", body) for body in (DESCRIBE, DESCRIBE, RUN, DESCRIBE, DESCRIBE)] == ["1", "1", "2", "3", "3"]


def test_a_change_of_machines_changes_groups_too_and_leaves_documents_alone() -> None:
    cloud = Counter()
    cloud.ask("autoscaling", FIND_MEMBERS)
    cloud.ask("s3", method="GET", path="/bucket/mesh.json")
    cloud.ask("ec2", RUN)
    cloud.ask("iam", b"Action=CreateRole")
    assert cloud.ask("autoscaling", FIND_MEMBERS) == "5"
    assert cloud.ask("s3", method="GET", path="/bucket/mesh.json") == "2"


def test_reads_with_different_conditions_regions_or_paths_are_different_reads() -> None:
    cloud = Counter()
    answers = [
        cloud.ask("s3", method="GET", path="/bucket/a"),
        cloud.ask("s3", method="HEAD", path="/bucket/a"),
        cloud.ask("s3", method="GET", path="/bucket/b"),
        cloud.ask("s3", method="GET", path="/bucket/a", HTTP_IF_NONE_MATCH='"x"'),
        cloud.ask("ec2", DESCRIBE),
        cloud.ask("ec2", DESCRIBE, region="us-east-1"),
    ]
    assert answers == ["1", "2", "3", "4", "5", "6"]


def test_only_changes_of_machines_are_told() -> None:
    cloud = Counter()
    for service, body in (("ec2", DESCRIBE), ("iam", b"Action=CreateRole"), ("s3", b"-"), ("ec2", RUN)):
        cloud.ask(service, body)
    assert cloud.changes == 1
    cloud.gate.run(lambda: None)
    assert cloud.changes == 2


def test_a_change_asked_for_by_get_is_no_read() -> None:
    cloud = Counter()
    assert [cloud.ask("ec2", method="GET", path="/?Action=RunInstances") for _ in range(2)] == ["1", "2"]


def test_an_upload_without_a_signature_is_seen_by_the_next_read() -> None:
    cloud = Counter()
    cloud.ask("s3", method="GET", path="/bucket/a")
    cloud.ask("-", method="PUT", path="/bucket/a?X-Amz-Signature=-", HTTP_AUTHORIZATION="")
    assert cloud.ask("s3", method="GET", path="/bucket/a") == "3"


def test_other_services_are_always_asked() -> None:
    cloud = Counter()
    assert [cloud.ask("ssm", HTTP_X_AMZ_TARGET="AmazonSSM.DescribeParameters") for _ in range(2)] == ["1", "2"]


def test_an_error_of_moto_is_told_so_that_no_client_repeats_it() -> None:
    cloud = Counter()
    scope = "AWS4-HMAC-SHA256 Credential=local/20250101/eu-central-1/ec2/aws4_request"
    answer = cloud.gate.answer({"REQUEST_METHOD": "POST", "RAW_URI": "/broken", "HTTP_AUTHORIZATION": scope}, RUN)
    assert answer.status == "400 Bad Request"
    assert b"KeyError: &#x27;a &lt; b&#x27;" in answer.body
