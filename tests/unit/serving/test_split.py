"""Who gets the canary: sticky, monotone in the weight, as many as it says, and drawn anew for each canary."""

import math

import pytest

from components.serving.split import key_of, takes_canary, user_key

USERS = [key_of(f"user-{number}".encode()) for number in range(100_000)]


def canary_users(weight, model="m", version=2):
    return [takes_canary(user, model, version, weight) for user in USERS]


@pytest.mark.parametrize("weight", [1, 5, 25, 50, 99])
def test_the_share_of_users_is_the_weight(weight):
    expected = len(USERS) * weight / 100
    spread = math.sqrt(expected * (1 - weight / 100))
    assert abs(sum(canary_users(weight)) - expected) < 5 * spread


def test_a_user_in_the_canary_stays_there_while_the_weight_grows():
    before = canary_users(0)
    assert not any(before)
    for weight in (1, 5, 25, 50, 100):
        now = canary_users(weight)
        assert all(after for was, after in zip(before, now, strict=True) if was)
        before = now
    assert all(before)


def test_the_same_user_is_always_at_the_same_place():
    assert canary_users(25) == canary_users(25)


@pytest.mark.parametrize(("model", "version"), [("other", 2), ("m", 3)])
def test_another_model_and_another_canary_draw_independently(model, version):
    both = sum(a and b for a, b in zip(canary_users(25), canary_users(25, model, version), strict=True))
    expected = len(USERS) / 16
    assert abs(both - expected) < 5 * math.sqrt(expected)


def test_the_split_is_the_same_in_every_process_and_release():
    """Workers and restarts agree: nothing of it hangs on Python's own, salted hash."""
    assert [number for number in range(40) if takes_canary(key_of(b"user-%d" % number), "m", 2, 25)] == [
        7,
        9,
        10,
        12,
        15,
        21,
        26,
        28,
        29,
        38,
        39,
    ]


def test_a_user_is_who_the_header_names_or_else_the_request_itself():
    assert user_key({b"x-user-id": b"ann"}, b"r1") == user_key({b"x-user-id": b"ann"}, b"r2")
    assert user_key({b"x-user-id": b"ann"}, b"r1") != user_key({b"x-user-id": b"bob"}, b"r1")
    assert user_key({b"account": b"ann"}, b"r1", b"account") == key_of(b"ann")
    assert user_key({}, b"r1") == user_key({b"x-user-id": b""}, b"r1") == key_of(b"r1")
    assert user_key({}, b"r1") != user_key({}, b"r2")
