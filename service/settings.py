"""What can be set, all of it: environment INPHASE_*, files of INPHASE_SECRETS_DIR, or arguments of `Settings`."""

import os
import secrets
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from inphase.errors import InphaseError
from inphase.models.execution import Wanted
from inphase.models.repository import DEFAULT, default_root
from service.webhooks.signature import key_of

MIB = 2**20
_SET_STATE = "name one that can be written with INPHASE_STATE_DIR or --state-dir"


class Bounds(BaseModel):
    """Everything that a request may use up."""

    model_config = ConfigDict(extra="forbid")

    connections: int = Field(
        500,
        gt=0,
        description="At most so many connections are open, and no more than half of the process's descriptors.",
    )
    head_s: float = Field(10.0, gt=0, description="The head of a request comes within so many seconds.")
    body_s: float = Field(600.0, gt=0, description="The body of a request comes within so many seconds.")
    body_rate: int = Field(
        65_536,
        gt=0,
        description="After its first 20 s, a body comes at so many bytes per second or more on the average.",
    )
    body_bytes: int = Field(4096 * MIB, gt=0, description="The body of one request has at most so many bytes.")
    bytes_in_flight: int = Field(
        8192 * MIB,
        gt=0,
        description="All requests and readings at work take at most so many bytes of memory together: what has come of "
        "their bodies, and what it takes to clean and predict their measurements.",
    )
    owner_bytes: int | None = Field(
        None,
        gt=0,
        description="The requests and readings of one owner take at most so many bytes of that, by default three "
        "quarters.",
    )
    array_bytes: int = Field(4096 * MIB, gt=0, description="One decoded measurement has at most so many bytes.")
    json_bytes: int = Field(1 * MIB, gt=0, description="A JSON body has at most so many bytes.")
    read_s: float = Field(
        10.0,
        gt=0,
        description="Reading one measurement takes at most so many seconds, and one more for every 10 MiB of its "
        "files.",
    )
    batch_bytes: int = Field(
        256 * MIB, gt=0, description="The tensors of requests that run together have at most so many bytes."
    )
    wait_s: float = Field(300.0, ge=0, description="A request may `wait` at most so many seconds.")
    store_bytes: int = Field(
        64 * 1024 * MIB, gt=0, description="The arrays of all jobs take at most so many bytes of disk."
    )
    result_age_s: float = Field(7 * 86400.0, gt=0, description="Results older than so many seconds are deleted.")
    queued_jobs: int = Field(
        1000, gt=0, description="At most so many jobs of normal and high priority wait to be read or refined."
    )
    unread_jobs: int = Field(
        20_000,
        gt=0,
        description="At most so many jobs wait to be read in all, with the scans of series and jobs of low priority.",
    )
    job_s: float = Field(600.0, gt=0, description="One refinement takes at most so many seconds.")
    streams: int = Field(200, gt=0, description="At most so many clients follow the events of jobs at the same time.")
    series_scans: int = Field(2000, gt=0, description="One series has at most so many scans.")
    scan_frames: int = Field(20_000, gt=0, description="One live scan has at most so many frames.")
    open_scans: int = Field(16, gt=0, description="One owner has at most so many live scans open.")
    scan_idle_s: float = Field(
        600.0,
        gt=0,
        description="A live scan to which no frame has come for so many seconds is finished with what is there, or "
        "aborted where nothing is.",
    )
    job_bytes: int | None = Field(
        None,
        gt=0,
        description="One refinement takes at most so many bytes of memory; by default it gets an equal share of 80 % "
        "of the machine's.",
    )


class Settings(BaseSettings):
    """The service's settings. `INPHASE_BOUNDS__BODY_BYTES=...` sets a nested one;
    INPHASE_DATA_ROOTS is a list like PATH.

    A file of the folder INPHASE_SECRETS_DIR sets what bears its name (`inphase_api_key`), for what no environment
    should show: the secrets of containers and the credentials of systemd come as such folders.
    """

    model_config = SettingsConfigDict(env_prefix="INPHASE_", env_nested_delimiter="__", extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="The service listens on this address.")
    port: int = Field(8000, ge=0, le=65535, description="The service listens on this port; 0 takes a free one.")
    api_key: SecretStr | None = Field(
        None, description="Every request needs this key; one is made and printed once where none is set."
    )
    keys_file: Path | None = Field(
        None,
        description="This YAML file holds more keys, each with its owner and scope; it is read again when it changes.",
    )
    data_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Requests may name the files of these folders, which are separated like those of PATH."
    )
    state_dir: Path | None = Field(
        default_factory=lambda: _below_home("XDG_STATE_HOME", ".local/state"),
        description="Records, arrays and the embedded Redis live in this folder; it must be set where the user has no "
        "home folder or may not write to it.",
    )
    models_dir: Path = Field(
        default_factory=default_root, description="The networks are read from this model repository."
    )
    model: str = Field(DEFAULT, description="This network is taken where a request names none.")
    model_idle_s: float = Field(
        3600.0,
        gt=0,
        description="A network that no request has asked for in so many seconds is unloaded; the default one stays.",
    )
    warm_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="These networks are loaded beside the default one before the service is ready, and stay; their "
        "names are separated by spaces.",
    )
    provider: Wanted = Field(
        "auto",
        description="The networks run on this: tensorrt, cuda, openvino or cpu; auto takes the best that the installed "
        "onnxruntime has, but never TensorRT.",
    )
    redis_url: str | None = Field(
        default_factory=lambda: os.environ.get("REDIS_URL") or None,
        description="The queue is in this Redis; the service starts its own where none is set.",
    )
    redis_password: SecretStr | None = Field(
        None, description="This is the password of that Redis, where its URL has none."
    )
    queue: bool = Field(
        True, description="With false the service only predicts: it has no Redis, no worker and no records."
    )
    workers: int = Field(
        1,
        ge=0,
        description="The service starts so many workers; each refines one job at a time in a process of its own.",
    )
    device: str = Field("cpu", description="The refinement runs on this device: cpu, cuda or cuda:1.")
    threads: int | None = Field(
        None,
        ge=1,
        description="The network and the refinement each use so many threads; by default they share all cores that "
        "affinity and control groups leave them.",
    )
    compute_slots: int = Field(2, ge=1, description="So many requests decode, preprocess and predict at the same time.")
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Webhooks may go to these hosts, such as hooks.example daq.example:8443, separated by spaces; a "
        "network such as 10.0.0.0/8 allows their addresses not to be public.",
    )
    webhook_secret: SecretStr | None = Field(
        None, description="Webhooks are signed with this secret, the base64 of 24 bytes or more."
    )
    batch_patterns: int | None = Field(
        None,
        ge=1,
        description="Where requests wait for one network, a run of it takes at most so many patterns together; by "
        "default 8 on a GPU and 1 on processors, where two cost twice as much as one.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Prometheus finds the own metrics of a worker that `inphase worker` starts on this port.",
    )
    drain_s: float = Field(
        10.0, ge=0, description="After SIGTERM requests and jobs at work may go on for so many seconds."
    )
    bounds: Bounds = Field(default_factory=Bounds)

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("webhook_hosts", "warm_models", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("webhook_secret")
    @classmethod
    def _long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            key_of(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _signed(self) -> "Settings":
        if self.webhook_hosts and self.webhook_secret is None:
            raise ValueError("webhooks are signed: set INPHASE_WEBHOOK_SECRET beside INPHASE_WEBHOOK_HOSTS")
        return self

    @field_validator("data_roots")
    @classmethod
    def _existing(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        for root in roots:
            if not root.is_dir():
                raise ValueError(f"data root {root} is no folder")
        return tuple(root.resolve() for root in roots)

    @field_validator("api_key")
    @classmethod
    def _strong(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and (len(key.get_secret_value()) < 16 or not key.get_secret_value().isalnum()):
            raise ValueError("an API key has at least 16 letters and digits and nothing else")
        return key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, before the environment, before the files of secrets."""
        folder = os.environ.get("INPHASE_SECRETS_DIR")
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise InphaseError(
                f"INPHASE_SECRETS_DIR is {folder}, which is no folder: mount the secrets there, or unset it"
            )
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)

    @property
    def redis_address(self) -> str | None:
        """`redis_url` with `redis_password` in it."""
        if self.redis_url is None or self.redis_password is None:
            return self.redis_url
        url = urlsplit(self.redis_url)
        if url.password:
            return self.redis_url
        user, _, host = url.netloc.rpartition("@")
        password = quote(self.redis_password.get_secret_value(), safe="")
        return url._replace(netloc=f"{user}:{password}@{host}").geturl()

    @property
    def state(self) -> Path:
        """The state folder, absolute and without links: what is read must lie in it by its real name. Raises
        InphaseError where none is set and this user has no home to keep it in.
        """
        if self.state_dir is None:
            raise InphaseError(f"this user has no home folder for the service's state: {_SET_STATE}")
        return self.state_dir.resolve()

    @property
    def store_dir(self) -> Path:
        """Where the arrays of jobs lie. Raises InphaseError as `state` does."""
        return self.state / "store"

    def check_state(self) -> None:
        """Makes the state folder. Raises InphaseError where there is none or it cannot be written."""
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryFile(dir=self.state):
                pass
        except OSError as error:
            raise InphaseError(
                f"the state folder {self.state} cannot be written ({error.strerror or error}): {_SET_STATE}"
            ) from error


def new_key() -> str:
    """A random API key, 160 bits."""
    return secrets.token_hex(20)


def _below_home(variable: str, fallback: str) -> Path | None:
    """A folder for inphase in `variable`, else in the home folder;
    None where there is no home, as in many containers.
    """
    if base := os.environ.get(variable):
        return Path(base) / "inphase"
    try:
        home = Path.home() if os.environ.get("HOME", "~") else None  # an empty HOME would mean the root folder
    except RuntimeError:  # neither HOME nor an entry of this user names one
        home = None
    return home / fallback / "inphase" if home is not None and home.is_absolute() else None
