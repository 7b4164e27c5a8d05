"""The families that are run."""

from collections.abc import Mapping
from typing import Any

from subbyte.models import bert, encoder, marian, translation
from subbyte.models.family import Family, Settings

FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (marian.FAMILY, *bert.FAMILIES)}
ARCHITECTURES: Mapping[str, Family] = {name: family for family in FAMILIES.values() for name in family.architectures}


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The settings of the shape that a configuration of one of the families is mapped onto."""
    return FAMILIES[config["model_type"]].settings(config, "config.json")


def encoder_of(config: Mapping[str, Any]) -> encoder.Settings:
    """Those of an encoder."""
    found = settings_of(config)
    assert isinstance(found, encoder.Settings), found
    return found


def translation_of(config: Mapping[str, Any]) -> translation.Settings:
    """Those of a translation model."""
    found = settings_of(config)
    assert isinstance(found, translation.Settings), found
    return found
