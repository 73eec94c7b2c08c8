"""Fixtures that tests of every kind share."""

# Plugins that others import come first: pytest must see a module before anybody imports it.
pytest_plugins = [
    "tests.support.postgres",
    "tests.support.rabbitmq",
    "tests.support.deployment",
    "tests.support.server_parts",
]
