"""Fixtures that tests of every kind share."""

from hypothesis import settings

# Plugins that others import come first: pytest must see a module before anybody imports it.
pytest_plugins = [
    "tests.support.postgres",
    "tests.support.rabbitmq",
    "tests.support.deployment",
    "tests.support.server_parts",
]

# Machines that run tests are shared and noisy: an example that takes long says nothing.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
