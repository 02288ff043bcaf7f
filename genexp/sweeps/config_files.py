"""How Hydra reads the config files of a user."""

import os

from hydra._internal.core_plugins import file_config_source
from hydra.plugins.config_source import ConfigResult

from genexp.record.yaml_files import check_yaml


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's own source, but a file is checked before it is parsed: one that is broken or swells is refused in one line.

    It bears the name of Hydra's, which Hydra registers again in every job of a worker: another name would then be an error.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        path = os.path.realpath(os.path.join(self.path, self._normalize_file_name(config_path)))
        if os.path.exists(path):
            check_yaml(path)
        return super().load_config(config_path)
