"""The text of pg_hba.conf and pg_ident.conf: read as PostgreSQL does, first match wins."""

from ipaddress import IPv4Address

from ledger import access

GATEWAYS = [IPv4Address("10.1.1.1"), IPv4Address("10.1.1.2")]
OPERATORS = [IPv4Address("10.1.1.9")]
LOCAL = {"fedledger": "fedledger", "exporter": "fed_metrics"}


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def test_the_first_match_table() -> None:
    assert lines(access.hba(GATEWAYS, OPERATORS, LOCAL)) == [
        ["local", "all", "postgres", "peer", "map=machine"],
        ["local", "federation", "fed_metrics", "peer", "map=machine"],
        ["local", "federation", "fedledger", "peer", "map=machine"],
        ["hostssl", "federation", "fed_gateway", "10.1.1.1/32", "cert", "map=federation"],
        ["hostssl", "federation", "fed_gateway", "10.1.1.2/32", "cert", "map=federation"],
        ["hostssl", "federation", "fed_operator", "10.1.1.9/32", "cert", "map=federation"],
        ["local", "all", "all", "reject"],
        ["local", "replication", "all", "reject"],
        ["host", "all", "all", "all", "reject"],
        ["host", "replication", "all", "all", "reject"],
    ]


def test_data_nodes_may_replicate_rewind_sequence_and_settle_keys_and_nothing_else() -> None:
    members = [IPv4Address("10.1.1.5")]
    without = lines(access.hba(GATEWAYS, OPERATORS, LOCAL))
    added = [
        line
        for line in lines(access.hba(GATEWAYS, OPERATORS, LOCAL, members))
        if line not in without
    ]
    assert added == [
        ["local", "replication", "fed_replication", "peer", "map=machine"],
        ["hostssl", "replication", "fed_replication", "10.1.1.5/32", "cert", "map=federation"],
        ["hostssl", "postgres", "fed_rewind", "10.1.1.5/32", "cert", "map=federation"],
        ["hostssl", "federation", "fed_sequencer", "10.1.1.5/32", "cert", "map=federation"],
        ["hostssl", "federation", "fed_keys", "10.1.1.5/32", "cert", "map=federation"],
    ]
    named = [line for line in lines(access.ident([], {}, ["cnode"])) if "cnode" in line]
    roles = {"fed_replication", "fed_rewind", "fed_sequencer", "fed_keys"}
    assert {line[2] for line in named} == roles


def test_the_guardian_may_be_itself_and_nothing_else() -> None:
    guardians = [IPv4Address("10.1.1.6")]
    without = lines(access.hba(GATEWAYS, OPERATORS, LOCAL))
    assert [
        line
        for line in lines(access.hba(GATEWAYS, OPERATORS, LOCAL, guardians=guardians))
        if line not in without
    ] == [["hostssl", "federation", "fed_guardian", "10.1.1.6/32", "cert", "map=federation"]]
    named = [line for line in lines(access.ident([], {}, guardians=["tnode"])) if "tnode" in line]
    assert named == [["federation", "tnode", "fed_guardian"]]


def test_nothing_is_trusted_and_no_password_is_asked() -> None:
    text = access.hba(GATEWAYS, OPERATORS, LOCAL)
    for method in ("trust", "password", "md5", "scram", "ident "):
        assert method not in text.split("#", 1)[1].split("\n", 1)[1]


def test_a_federation_without_gateways_still_ends_in_reject() -> None:
    assert lines(access.hba([], [], {}))[-2:] == [
        ["host", "all", "all", "all", "reject"],
        ["host", "replication", "all", "all", "reject"],
    ]


def test_names_map_to_roles() -> None:
    assert lines(access.ident(["anode", "bnode"], LOCAL)) == [
        ["machine", "postgres", "postgres"],
        ["machine", "exporter", "fed_metrics"],
        ["machine", "fedledger", "fedledger"],
        ["federation", "anode", "fed_gateway"],
        ["federation", "bnode", "fed_gateway"],
        ["federation", "operator", "fed_operator"],
    ]


def test_each_further_operator_has_a_name_of_their_own() -> None:
    found = lines(access.ident([], {}, operators=["bea", "operator"]))
    assert ["federation", "operator.bea", "fed_operator"] in found
    assert [line[1] for line in found if line[2] == "fed_operator"].count("operator.operator") == 0
