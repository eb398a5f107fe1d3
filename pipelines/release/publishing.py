"""From an environment's configuration to the publishers it names, and what they are told. Decides nothing."""

from __future__ import annotations

import os
from pathlib import Path

from components.errors import ConfigError
from components.release.publishers.protocol import Publication, Publisher
from components.release.records import Event, Slot
from pipelines.release.apply import split_of
from pipelines.release.environment_config import (
    PublisherSection,
    TensorFlowServingSection,
    TritonSection,
    WebhookSection,
)
from pipelines.release.environments import EnvironmentConfig


def open_publisher(section: PublisherSection, root: Path) -> Publisher:
    """Return what a section describes.

    Raises:
        ConfigError: the variable that holds its secret is not set.
    """
    match section:
        case TritonSection():
            from components.release.publishers.repository import TritonRepository

            return TritonRepository(root / section.root)
        case TensorFlowServingSection():
            from components.release.publishers.repository import TensorFlowServingRepository

            return TensorFlowServingRepository(root / section.root)
        case WebhookSection():
            from components.release.publishers.webhook import Webhook

            return Webhook(section.url, _secret(section))


def publish(env: EnvironmentConfig, section: PublisherSection, slot: Slot, event: Event) -> None:
    """Tell a publisher of an event, and how things stand by now.

    Raises:
        ConfigError: the variable that holds its secret is not set, or it can never hold what is to be published.
        StaleRevisionError: it was told of more already.
        DigestMismatchError: the bytes are not those that were promised.
        InfrastructureError: it cannot be reached or written.
    """
    moves_bytes = not isinstance(section, WebhookSection)
    served = [number for number in (slot.stable, slot.canary) if number is not None] if moves_bytes else []
    placed = {number: env.place(env.ledger().version(slot.model, number).ref) for number in served}
    open_publisher(section, env.root).publish(Publication(event, split_of(slot), placed))


def _secret(section: WebhookSection) -> str:
    if not (secret := os.environ.get(section.secret)):
        raise ConfigError(
            f"publisher `{section.name}` signs with what {section.secret} holds, and that is not set; set it, or take "
            "the publisher out of the environment's file"
        )
    return secret
