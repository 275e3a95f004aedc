"""Whatever looks like a secret is cut out of a text, and nothing else is."""

import pytest

from modelkeep.domain.access.tokens import ID_BYTES, SECRET_BYTES, hub_spelling, new_secret
from modelkeep.telemetry.redaction import redacted, without_credentials

TOKEN = new_secret(bytes(range(ID_BYTES + SECRET_BYTES)))
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2NpLmV4YW1wbGUifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"token {TOKEN.text} end", f"token mr_{TOKEN.id}_[redacted] end"),
        (TOKEN.text.rpartition("_")[0], f"mr_{TOKEN.id}_[redacted]"),
        (f"{TOKEN.text}x", f"mr_{TOKEN.id}_[redacted]"),
        (f"HF_TOKEN=hf_{TOKEN.text} end", f"HF_TOKEN=hf_mr_{TOKEN.id}_[redacted] end"),
        (f"HF_TOKEN={hub_spelling(TOKEN.text)} end", f"HF_TOKEN={hub_spelling(f'mr_{TOKEN.id}_')}[redacted] end"),
        (f"sent Bearer {hub_spelling(TOKEN.text)}", "sent Bearer [redacted]"),
        (f"a {JWT} b", "a [redacted] b"),
        (JWT.partition(".")[0], "[redacted]"),
        (JWT.rpartition(".")[0], "[redacted]"),
        (f"{JWT}.fourth.fifth", "[redacted]"),
        ("/k?X-Amz-Signature=ab12&partNumber=1", "/k?X-Amz-Signature=[redacted]&partNumber=1"),
        ("x-amz-security-token=FwoG%2F/x&y=1", "x-amz-security-token=[redacted]&y=1"),
        ("X-Amz-Credential%3DAKIA%2F20260131 z", "X-Amz-Credential%3D[redacted] z"),
        ("/local-store/k?expires=1&signature=9f9f", "/local-store/k?expires=1&signature=[redacted]"),
        ("Authorization: Bearer abc", "Authorization: [redacted]"),
        ("AUTHORIZATION=Basic dXNlcjpwYXNz", "AUTHORIZATION=[redacted]"),
        ('{"authorization": "Token abc def", "x": 1}', '{"authorization": "[redacted]", "x": 1}'),
        (r'"{\"authorization\": \"abc\"}"', r'"{\"authorization\": \"[redacted]\"}"'),
        ("[(b'authorization', b'abc'), (b'host', b'h')]", "[(b'authorization', b'[redacted]'), (b'host', b'h')]"),
        ("Credential=AKIA/x, Signature=9f", "Credential=[redacted], Signature=[redacted]"),
        (f"sent bearer {TOKEN.text}", f"sent bearer mr_{TOKEN.id}_[redacted]"),
        ("sent Bearer opaque-thing", "sent Bearer [redacted]"),
    ],
)
def test_a_secret_is_cut_out(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        '{"model": "mr_robot_v2", "path": "mr_segmentation_20260131_final.nii", "rule": "token:0123456789a"}',
        "the signature is wrong; authorization is needed; a bearer of nothing",
        "/hf/registry/hf_6d725f-model/resolve/main/config.json",
        "/v1/models/eyjafjallajokull-forecast/versions/3",
        '{"code": "signature_mismatch", "detail": "send Authorization: "}',
        "",
    ],
)
def test_what_only_sounds_like_a_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_text_may_explain_how_to_send_a_token_and_hold_none() -> None:
    text = "There is no model '{}'. Send Authorization: Bearer, with a token."
    assert without_credentials(text.format(TOKEN.text)) == text.format(f"mr_{TOKEN.id}_[redacted]")
    assert without_credentials(text.format(JWT)) == text.format("[redacted]")
