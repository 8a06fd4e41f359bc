"""Settings come from arguments and from INPHASE_* in the environment."""

from pathlib import Path

import pytest
import redis
from pydantic import ValidationError

from inphase.errors import InphaseError
from inphase.formats.regular import beneath, open_regular
from service.settings import Settings, new_key


def test_safe_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any setting the service listens on this machine only and reads no files."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    settings = Settings()
    assert (settings.host, settings.port, settings.data_roots, settings.workers) == ("127.0.0.1", 8000, (), 1)
    assert settings.api_key is None
    assert settings.redis_url is None


def test_the_environment_sets_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Roots are a list like PATH, nested bounds have a double underscore, REDIS_URL is honoured."""
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("INPHASE_DATA_ROOTS", f"{tmp_path / 'a'}:{tmp_path}")
    monkeypatch.setenv("INPHASE_BOUNDS__BODY_BYTES", "1000")
    monkeypatch.setenv("REDIS_URL", "redis://queue:6379")
    settings = Settings()
    assert settings.data_roots == (tmp_path / "a", tmp_path)
    assert settings.bounds.body_bytes == 1000
    assert settings.redis_url == "redis://queue:6379"


def test_own_redis_url_comes_before_the_general_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """INPHASE_REDIS_URL wins over REDIS_URL."""
    monkeypatch.setenv("REDIS_URL", "redis://general")
    monkeypatch.setenv("INPHASE_REDIS_URL", "redis://own")
    assert Settings().redis_url == "redis://own"


@pytest.mark.parametrize("key", ["", "short", "with spaces and signs !!"])
def test_weak_keys_are_refused(key: str) -> None:
    """A key that is short or could be mangled on its way is refused at start-up."""
    with pytest.raises(ValidationError, match="at least 16"):
        Settings(api_key=key)


def test_generated_keys_are_acceptable_and_differ() -> None:
    """The service accepts the keys that it makes, and each is new."""
    assert new_key() != new_key()
    Settings(api_key=new_key())


def test_a_root_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    """A mistyped data root stops the service at start-up."""
    with pytest.raises(ValidationError, match="is no folder"):
        Settings(data_roots=(tmp_path / "nowhere",))


def test_unknown_settings_are_refused() -> None:
    """A mistyped argument is an error, not ignored."""
    with pytest.raises(ValidationError, match="prot"):
        Settings(prot=1)  # type: ignore[call-arg]


def test_links_in_roots_are_resolved(tmp_path: Path) -> None:
    """A root given through a link is the folder behind it, so that paths compare."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Settings(data_roots=(tmp_path / "link",)).data_roots == (tmp_path / "real",)


@pytest.mark.parametrize("named", ["real/state", "link/state"])
def test_the_state_folder_has_its_real_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Named from the current folder or through a link: an upload in it was said to lie outside the folders that may be
    read.
    """
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    settings = Settings(state_dir=Path(named))
    assert settings.state == tmp_path / "real" / "state"
    settings.store_dir.mkdir(parents=True)
    (settings.store_dir / "body.npy").write_bytes(b"sent")
    with beneath((settings.store_dir,)), open_regular(settings.store_dir / "body.npy") as stream:
        assert stream.read() == b"sent"


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files of INPHASE_SECRETS_DIR set what bears their name, others are left alone,
    and the environment wins over them.
    """
    (tmp_path / "inphase_api_key").write_text("0123456789abcdefghij\n")
    (tmp_path / "inphase_redis_password").write_text("from the file\n")
    (tmp_path / "somebody_elses").write_text("x")
    monkeypatch.setenv("INPHASE_SECRETS_DIR", str(tmp_path))
    settings = Settings()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "0123456789abcdefghij"
    assert "0123456789" not in repr(settings)
    monkeypatch.setenv("INPHASE_REDIS_PASSWORD", "from the environment")
    password = Settings().redis_password
    assert password is not None
    assert password.get_secret_value() == "from the environment"


def test_a_folder_of_secrets_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Secrets that were not mounted stop the service instead of leaving it with a key of its own."""
    monkeypatch.setenv("INPHASE_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(InphaseError, match="is no folder: mount the secrets"):
        Settings()


@pytest.mark.parametrize(
    "url", ["redis://queue:6379/2", "rediss://queue", "unix:///run/redis.sock", "redis://me@[::1]:7"]
)
def test_a_password_beside_the_url(url: str) -> None:
    """Whatever its characters, the password reaches the client, and the rest of the URL is as it was."""
    password = "a/b:c@d %40 é"
    address = Settings(redis_url=url, redis_password=password).redis_address
    assert address is not None
    found = redis.connection.parse_url(address)
    assert found.pop("password") == password
    assert found == redis.connection.parse_url(url)


def test_a_password_in_the_url_stays() -> None:
    """A URL with a password of its own keeps it; without any Redis a password means nothing."""
    assert Settings(redis_url="redis://:own@queue", redis_password="other").redis_address == "redis://:own@queue"
    assert Settings(redis_url=None, redis_password="other").redis_address is None
