"""The system check of the secret."""

import exchange
import pytest
from cases import SECRET
from django.apps import AppConfig
from django.conf import settings
from django.core.checks.registry import registry
from django.test import override_settings

import mg_middleware.django
from mg_middleware import Webhook
from mg_middleware.django.apps import MeetGeekConfig, check_secret


@pytest.mark.parametrize(
    ("secret", "found"),
    [
        (None, "no secret is configured. Set MEETGEEK_WEBHOOK_SECRET in your settings"),
        ("", "the setting MEETGEEK_WEBHOOK_SECRET: the secret is empty or blank"),
        (" ", "the setting MEETGEEK_WEBHOOK_SECRET: the secret is empty or blank"),
        ([], "the setting MEETGEEK_WEBHOOK_SECRET: secret is an empty collection"),
        ([SECRET, ""], "the setting MEETGEEK_WEBHOOK_SECRET: the secret is empty or blank"),
        (5, "the setting MEETGEEK_WEBHOOK_SECRET: a secret must be str or bytes, not int"),
    ],
)
def test_a_secret_that_is_missing_or_wrong_is_an_error_with_a_hint(secret, found):
    with override_settings(MEETGEEK_WEBHOOK_SECRET=secret):
        [error] = check_secret(None)
    assert error.id == "mg_middleware.E001"
    assert error.is_serious()
    assert found in error.msg
    assert error.hint.startswith("Set MEETGEEK_WEBHOOK_SECRET in your settings or in the environment")
    assert SECRET not in error.msg


def test_a_setting_that_is_absent_falls_back_to_the_environment(monkeypatch):
    with override_settings():
        del settings.MEETGEEK_WEBHOOK_SECRET
        assert len(check_secret(None)) == 1
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", "")
        [error] = check_secret(None)
        assert "the environment: the secret is empty or blank" in error.msg
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
        assert check_secret(None) == []


@pytest.mark.parametrize(
    "secret", [SECRET, SECRET.encode(), [SECRET, "old"], {"tenant": SECRET}, Webhook(SECRET), lambda environ: None]
)
def test_a_secret_is_in_order(secret):
    with override_settings(MEETGEEK_WEBHOOK_SECRET=secret):
        assert check_secret(None) == []


def test_it_is_left_out_if_other_applications_are_checked():
    other = AppConfig("exchange", exchange)
    ours = MeetGeekConfig("mg_middleware.django", mg_middleware.django)
    with override_settings(MEETGEEK_WEBHOOK_SECRET=""):
        assert check_secret([other]) == []
        assert len(check_secret([other, ours])) == 1


def test_the_application_registers_it():
    MeetGeekConfig("mg_middleware.django", mg_middleware.django).ready()
    assert check_secret in registry.get_checks()
    registry.registered_checks.remove(check_secret)
