"""From YAML files to checked dataclasses."""

from aognet.config.loaded import COMMAND_LINE, LoadedConfig, build_config, check_text, load_config

__all__ = ["COMMAND_LINE", "LoadedConfig", "build_config", "check_text", "load_config"]
