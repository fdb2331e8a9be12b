"""The kit for those who write plugins: checks, tiny real models, a registry, a Hub on loopback.

``pip install 'adapter-hub[testing]'``, and in a test module or the top conftest.py::

    pytest_plugins = ["adapter_hub.testing"]  # the fixtures

The checks need no fixture, and no pytest plugin. (PYTEST_DONT_REWRITE: nothing in here asserts.)
"""

from adapter_hub.testing.check import PluginFindings as PluginFindings
from adapter_hub.testing.check import check_plugin as check_plugin
from adapter_hub.testing.fixtures import loopback_hub as loopback_hub
from adapter_hub.testing.fixtures import tiny_bases as tiny_bases
from adapter_hub.testing.fixtures import tiny_registry as tiny_registry
from adapter_hub.testing.hub import HubBox as HubBox
from adapter_hub.testing.methods import assert_method_round_trips as assert_method_round_trips
from adapter_hub.testing.methods import catalog_with as catalog_with
from adapter_hub.testing.methods import logits_of as logits_of
from adapter_hub.testing.methods import trained_model as trained_model
from adapter_hub.testing.workshop import make_workshop as make_workshop
from adapter_hub.testing.workshop import run_training as run_training
from adapter_hub.testing.workshop import write_rows as write_rows
