"""Files are there whole or not at all, keep who may read them, and take nobody's place but their own."""

import errno
import fcntl
import gc
import os
import socket
import stat
import struct
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.files import (
    OutputFile,
    are_one_file,
    descriptor_of,
    final_path,
    is_replaced,
    make_folder,
    remove_noted_parts,
    remove_stale_parts,
)
from vae_anomaly.files.stale_parts import ACROSS, PART_PATTERN

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
root_only = pytest.mark.skipif(not IS_ROOT, reason="takes a superuser")


def write(path, content=b"new", note=None):
    with OutputFile(path, note) as file:
        file.stream.write(content)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def mode_of(path):
    return path.stat().st_mode & 0o7777


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    return path


def failing(monkeypatch, owner, name, number, *, when=lambda *_: True):
    """Have a function of the system fail, where `when` says so."""
    real = getattr(owner, name)

    def fail(*arguments, **options):
        if when(*arguments):
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, fail)


def is_folder(descriptor):
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def test_file_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a.bin"
    file = OutputFile(path)
    file.stream.write(b"half")
    assert not path.exists()
    assert PART_PATTERN.fullmatch(file.part.name)["output"] == "a.bin"
    file.stream.write(b" whole")
    file.finish()
    assert path.read_bytes() == b"half whole"
    file.discard()
    assert names_in(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_new_file_has_the_mode_that_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        with OutputFile(tmp_path / "a.bin") as file:
            assert mode_of(file.part) == 0o666 & ~umask
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a.bin") == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664, 0o000])
def test_mode_of_the_replaced_file_is_kept_from_the_first_moment(old, monkeypatch, mode):
    old.chmod(mode)
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode=0o777: opened.append(mode) or real(path, flags, mode))
    with OutputFile(old) as file:
        assert opened == [0o600]
        assert mode_of(file.part) == mode
        file.stream.write(b"new")
    assert mode_of(old) == mode


def test_mode_that_changes_while_the_file_is_written_is_kept(old):
    old.chmod(0o644)
    with OutputFile(old):
        old.chmod(0o600)
    assert mode_of(old) == 0o600


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_file_system_without_modes_can_be_written_unless_others_could_read(old, monkeypatch, number):
    failing(monkeypatch, os, "fchmod", number)
    old.chmod(0o644)
    write(old)
    assert (old.read_bytes(), mode_of(old)) == (b"new", 0o600)
    # As the umask says, in a folder where the file is new when the part is made.
    old.unlink()
    with pytest.raises(OSError, match=r"a\.bin"), OutputFile(old):  # noqa: PT012 - it appears meanwhile
        old.write_bytes(b"private")
        old.chmod(0o600)
    assert old.read_bytes() == b"private"


def test_set_user_id_is_not_handed_down(old):
    old.chmod(0o4755)
    write(old)
    assert mode_of(old) == 0o755


@root_only
def test_superuser_keeps_owner_and_group(old):
    os.chown(old, 1234, 1235)
    old.chmod(0o640)
    write(old)
    known = old.stat()
    assert (known.st_uid, known.st_gid, mode_of(old)) == (1234, 1235, 0o640)


@root_only
@pytest.mark.parametrize(("mode", "kept"), [(0o640, 0o600), (0o664, 0o644), (0o660, 0o600)])
def test_group_that_cannot_be_kept_gets_no_more_than_all_others(old, monkeypatch, mode, kept):
    os.chown(old, -1, 1235)
    old.chmod(mode)
    failing(monkeypatch, os, "fchown", errno.EPERM)
    write(old)
    assert (old.stat().st_gid, mode_of(old)) == (os.getegid(), kept)


def access_list(*entries):
    """What Linux keeps: version 2, then tag, permissions and number of each."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ONE_MORE_READER = access_list((1, 6, NOBODY), (2, 4, 1234), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))


def attributes(path, name, value):
    try:
        os.setxattr(path, name, value)
    except (OSError, AttributeError):
        pytest.skip("the file system has no such attributes")


def test_access_list_and_attributes_of_the_replaced_file_are_kept(old):
    attributes(old, "user.origin", b"sensor 7")
    attributes(old, "system.posix_acl_access", ONE_MORE_READER)
    write(old)
    assert os.getxattr(old, "user.origin") == b"sensor 7"
    assert os.getxattr(old, "system.posix_acl_access") == ONE_MORE_READER


def test_access_list_that_cannot_be_kept_lets_only_the_owner_in(old, monkeypatch):
    attributes(old, "system.posix_acl_access", ONE_MORE_READER)
    assert mode_of(old) == 0o640
    failing(monkeypatch, os, "setxattr", errno.ENOTSUP)
    write(old)
    assert mode_of(old) == 0o600


def test_access_list_of_the_folder_opens_no_replaced_file(old):
    old.chmod(0o640)
    attributes(old.parent, "system.posix_acl_default", ONE_MORE_READER)
    write(old)
    assert mode_of(old) == 0o640
    assert "system.posix_acl_access" not in os.listxattr(old)


def test_links_are_followed_to_their_end_and_stay(old):
    folder = old.parent
    (folder / "deep").mkdir()
    (folder / "deep" / "one").symlink_to("../two")
    (folder / "two").symlink_to(old)
    write(folder / "deep" / "one")
    assert old.read_bytes() == b"new"
    assert (folder / "deep" / "one").readlink() == Path("../two")
    assert (folder / "two").readlink() == old
    assert names_in(folder / "deep") == ["one"]


def test_link_to_nothing_makes_the_file_that_it_names(tmp_path):
    (tmp_path / "link").symlink_to("deep/a.bin")
    (tmp_path / "deep").mkdir()
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"new"


def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for ask in (OutputFile, final_path, is_replaced):
        with pytest.raises(OSError, match="one") as caught:
            ask(tmp_path / "one")
        assert caught.value.errno == errno.ELOOP
    assert all((tmp_path / name).is_symlink() for name in ("one", "two"))


def test_other_hard_link_keeps_what_it_had(old):
    other = old.with_name("other")
    other.hardlink_to(old)
    write(old)
    assert (old.read_bytes(), other.read_bytes()) == (b"new", b"old")


@contextmanager
def read_from(path):
    """Read a pipe to its end, in a thread."""
    found = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    yield found
    reader.join()


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_pipe_is_written_through_and_stays(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with read_from(tmp_path / "pipe") as found:
        write(tmp_path / name)
    assert found == [b"new"]
    assert (tmp_path / "pipe").is_fifo()
    assert names_in(tmp_path) == ["link", "pipe"]


def null_device(folder):
    """A device of our own: the system's is nobody's to try."""
    path = folder / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_bytes(b"")
    except (OSError, AttributeError):
        pytest.skip("no device can be made here")
    return path


def test_device_is_written_through_and_stays(tmp_path):
    path = null_device(tmp_path)
    write(path)
    assert path.is_char_device()
    assert names_in(tmp_path) == ["null"]


def test_socket_and_folder_are_errors_and_stay(tmp_path, monkeypatch):
    # The name of a socket may not be long.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        with pytest.raises(OSError, match="socket"):
            write("socket")
        assert Path("socket").is_socket()
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        write("folder")
    assert names_in(tmp_path) == ["folder", "socket"]


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}", "link"])
def test_open_file_is_appended_to_and_never_opened_again(tmp_path, name):
    log = tmp_path / "log"
    with log.open("ab") as stream:
        if not Path(name.format(stream.fileno())).exists() and name != "link":
            pytest.skip("the system has no such names")
        (tmp_path / "link").symlink_to(f"/dev/fd/{stream.fileno()}")
        stream.write(b"before ")
        stream.flush()
        path = tmp_path / name.format(stream.fileno())
        assert descriptor_of(path) == stream.fileno()
        assert not is_replaced(path)
        write(path)
        stream.write(b" after")
    assert log.read_bytes() == b"before new after"
    assert names_in(tmp_path) == ["link", "log"]


def test_closed_descriptor_is_an_error():
    theirs, ours = os.pipe()
    os.close(theirs)
    os.close(ours)
    with pytest.raises(OSError, match="Bad file descriptor"):
        write(f"/dev/fd/{ours}")


def test_numbers_elsewhere_are_names(tmp_path):
    assert descriptor_of(tmp_path / "1") is None
    assert descriptor_of("/dev/stdout") == 1
    assert descriptor_of("a/../b") is None
    write(tmp_path / "1")
    assert (tmp_path / "1").read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
def test_failure_at_the_end_leaves_the_old_file_and_nothing_else(old, monkeypatch, number, step):
    failing(monkeypatch, os, step, number)
    with pytest.raises(OSError, match=r"a\.bin") as caught:
        write(old)
    assert caught.value.errno == number
    assert old.read_bytes() == b"old"
    assert names_in(old.parent) == ["a.bin"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit, OSError(errno.ENOSPC, "full")])
def test_whatever_ends_the_writing_leaves_the_old_file_and_nothing_else(old, stop):
    def stopped():
        with OutputFile(old) as file:
            file.stream.write(b"half")
            raise stop

    with pytest.raises(stop if isinstance(stop, type) else OSError):
        stopped()
    assert old.read_bytes() == b"old"
    assert names_in(old.parent) == ["a.bin"]


@pytest.mark.parametrize("step", ["open", "dup", "fstat"])
def test_stop_while_the_part_is_opened_leaves_nothing(old, monkeypatch, step):
    real = getattr(os, step)

    def stopped(*arguments, **options):
        result = real(*arguments, **options)
        if step in ("open", "dup"):
            os.close(result)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, stopped)
    with pytest.raises(KeyboardInterrupt):
        OutputFile(old)
    monkeypatch.undo()
    assert names_in(old.parent) == ["a.bin"]


def test_disk_has_the_file_before_it_has_the_name_and_the_folder_after(old, monkeypatch):
    done = []
    synced, replaced = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda d: done.append("folder" if is_folder(d) else "file") or synced(d))
    monkeypatch.setattr(os, "replace", lambda *given: done.append("name") or replaced(*given))
    write(old)
    assert done == ["file", "name", "folder"]


def test_folder_that_does_not_reach_the_disk_is_an_error_where_the_system_can_tell(old, monkeypatch):
    failing(monkeypatch, os, "fsync", errno.EINVAL, when=is_folder)
    write(old, b"one")
    failing(monkeypatch, os, "fsync", errno.EIO, when=is_folder)
    with pytest.raises(OSError, match=r"a\.bin"):
        write(old, b"two")
    assert old.read_bytes() == b"two"
    assert names_in(old.parent) == ["a.bin"]


def test_file_larger_than_is_allowed_leaves_the_old_one(old):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(OSError, match=r"a\.bin") as caught:
            write(old, bytes(1 << 17))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert old.read_bytes() == b"old"
    assert names_in(old.parent) == ["a.bin"]


@pytest.mark.parametrize("n_bytes", [1 << 19, 1 << 21])
def test_full_disk_leaves_the_old_file(small_disk, n_bytes):
    path = small_disk / "a.bin"
    write(path, bytes(1 << 18))
    (small_disk / "rest").write_bytes(bytes(1 << 19))
    with pytest.raises(OSError, match=r"a\.bin") as caught:
        write(path, bytes([1]) * n_bytes)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == bytes(1 << 18)
    assert names_in(small_disk) == ["a.bin", "rest"]


def test_disk_that_takes_no_writing_is_an_error(small_disk):
    write(small_disk / "a.bin")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match=r"a\.bin") as caught:
        write(small_disk / "a.bin", b"newer")
    assert caught.value.errno == errno.EROFS
    assert (small_disk / "a.bin").read_bytes() == b"new"


@pytest.mark.skipif(IS_ROOT, reason="permissions do not bind this user")
def test_folder_without_permission_is_an_error(old):
    old.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=r"a\.bin"):
            write(old)
    finally:
        old.parent.chmod(0o700)
    assert old.read_bytes() == b"old"


def test_planted_link_is_not_followed(old, monkeypatch):
    victim = old.with_name("victim")
    victim.write_bytes(b"of somebody else")
    planted = old.with_name(".a.bin.00000000.part")
    planted.symlink_to(victim)
    drawn = iter(["00000000", "11111111"])
    monkeypatch.setattr("vae_anomaly.files.stale_parts.secrets.token_hex", lambda _: next(drawn))
    write(old)
    assert old.read_bytes() == b"new"
    assert victim.read_bytes() == b"of somebody else"
    assert planted.is_symlink()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("elsewhere")])
def test_what_takes_the_place_of_the_file_meanwhile_stays(old, make):
    file = OutputFile(old)
    old.unlink()
    make(old)
    with pytest.raises(FileExistsError, match=r"a\.bin"):
        file.finish()
    assert old.is_fifo() or old.is_dir() or old.is_symlink()
    assert names_in(old.parent) == ["a.bin"]


def test_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("ä" * 127)
    write(path)
    with OutputFile(path) as file:
        assert len(os.fsencode(file.part.name)) == 64 + ACROSS
        file.stream.write(b"newer")
    assert path.read_bytes() == b"newer"
    assert names_in(tmp_path) == [path.name]


def test_part_that_nobody_finishes_goes_with_the_last_reference(tmp_path):
    file = OutputFile(tmp_path / "a.bin")
    file.stream.write(b"half")
    del file
    gc.collect()
    assert names_in(tmp_path) == []


def test_child_of_a_fork_leaves_the_part_of_its_parent(tmp_path, monkeypatch):
    file = OutputFile(tmp_path / "a.bin")
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: -1)
        file._drop()
    assert names_in(tmp_path) == [file.part.name]


LEFT = ".a.bin.0123abcd.part"


def test_parts_that_killed_runs_left_are_removed(old):
    old.with_name(LEFT).write_bytes(b"half")
    old.with_name(".a.bin.00000000.part").write_bytes(b"half")
    remove_stale_parts([old, old.with_name("never-there.bin")])
    assert names_in(old.parent) == ["a.bin"]


def test_parts_are_found_where_a_link_leads(old, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(old)
    (tmp_path / "folder").symlink_to("deep")
    old.with_name(LEFT).write_bytes(b"half")
    (tmp_path / "deep" / ".b.bin.0123abcd.part").write_bytes(b"half")
    remove_stale_parts([tmp_path / "deep" / "link", tmp_path / "folder" / "b.bin"])
    assert names_in(tmp_path) == ["a.bin", "deep", "folder"]
    assert names_in(tmp_path / "deep") == ["link"]


@pytest.mark.parametrize(
    "name",
    [
        ".holiday.mp4.part",
        ".a.bin.part",
        ".a.bin.1.part",
        ".a.bin.0123abcd.part.bak",
        ".a.bin.0123ABCD.part",
        "a.bin.0123abcd.part",
        ".b.bin.0123abcd.part",
        ".a.bin.csv.0123abcd.part",
        ".xa.bin.0123abcd.part",
        ".a.bin.0123abcd.part.0123abcd.part",
        ".a?bin.0123abcd.part",
    ],
)
def test_parts_of_others_stay(old, name):
    old.with_name(name).write_bytes(b"of somebody else")
    remove_stale_parts([old])
    assert names_in(old.parent) == sorted([name, "a.bin"])


@given(name=st.text(st.sampled_from("ab.*?[]\n ä"), min_size=1, max_size=8), output=st.sampled_from(["a", "a.b", "*"]))
def test_only_parts_of_the_very_name_are_taken_for_ours(tmp_path_factory, name, output):
    folder = tmp_path_factory.mktemp("names")
    (folder / f".{name}.0123abcd.part").write_bytes(b"")
    remove_stale_parts([folder / output])
    assert names_in(folder) == ([] if name == output else [f".{name}.0123abcd.part"])


def test_what_is_no_file_stays_and_blocks_nobody(old):
    os.mkfifo(old.with_name(".a.bin.00000000.part"))
    old.with_name(".a.bin.11111111.part").mkdir()
    old.with_name(".a.bin.22222222.part").symlink_to(old)
    remove_stale_parts([old])
    remove_noted_parts(old.parent, [f".a.bin.{digit * 8}.part" for digit in "012"])
    assert len(names_in(old.parent)) == 4
    assert old.read_bytes() == b"old"


def test_part_that_is_being_written_stays(old):
    with OutputFile(old) as file:
        file.stream.write(b"new")
        remove_stale_parts([old])
        remove_noted_parts(old.parent, [file.part.name])
        write(old, b"in between")
        assert old.read_bytes() == b"in between"
    assert old.read_bytes() == b"new"


def n_open_files():
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_part_is_held_until_it_has_its_name(old, monkeypatch):
    replaced = os.replace

    def swept_before(part, final):
        remove_stale_parts([old])
        replaced(part, final)

    monkeypatch.setattr(os, "replace", swept_before)
    write(old)
    assert old.read_bytes() == b"new"
    monkeypatch.undo()
    before = n_open_files()
    write(old)
    assert n_open_files() == before


def test_part_that_is_swept_before_it_is_locked_is_begun_again(old, monkeypatch):
    noted = []
    locked = fcntl.flock

    def swept_once(descriptor, how):
        if len(noted) == 1:
            noted[0].unlink()
        locked(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", swept_once)
    write(old, note=noted.append)
    assert old.read_bytes() == b"new"
    assert len(noted) == 2
    assert names_in(old.parent) == ["a.bin"]


def test_without_locks_only_noted_parts_are_removed(old, monkeypatch):
    failing(monkeypatch, fcntl, "flock", errno.ENOLCK)
    old.with_name(LEFT).write_bytes(b"half")
    remove_stale_parts([old])
    write(old)
    assert names_in(old.parent) == sorted([LEFT, "a.bin"])
    remove_noted_parts(old.parent, [LEFT])
    assert names_in(old.parent) == ["a.bin"]
    assert old.read_bytes() == b"new"


def test_noted_names_that_lead_elsewhere_or_are_no_parts_are_left_alone(old, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    (tmp_path / LEFT).write_bytes(b"")
    (tmp_path / "out" / "deep" / LEFT).write_bytes(b"")
    (tmp_path / "out" / "a.csv").write_bytes(b"")
    names = [f"../{LEFT}", str(tmp_path / LEFT), f"link/{LEFT}", "a.csv", "", "deep", f"deep/{LEFT}", "no\0name"]
    remove_noted_parts(tmp_path / "out", names)
    assert (tmp_path / LEFT).exists()
    assert names_in(tmp_path / "out") == ["a.csv", "deep", "link"]
    assert names_in(tmp_path / "out" / "deep") == []


def test_one_file_is_known_under_all_its_names(old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("a.bin")
    Path("hard").hardlink_to(old)
    Path("other").write_bytes(b"old")
    Path("circle").symlink_to("circle")
    Path("to-nothing").symlink_to("never")
    os.mkfifo("pipe")
    one = ["a.bin", old, "./a.bin", f"../{tmp_path.name}/a.bin", "link", "hard"]
    assert all(are_one_file(first, second) for first in one for second in one)
    assert not any(are_one_file("a.bin", name) for name in ("other", "never", "circle", ".", "pipe"))
    assert are_one_file("never", "to-nothing")
    assert are_one_file("pipe", "./pipe")
    device = null_device(tmp_path)
    assert not are_one_file(device, device)


def test_folders_on_the_way_are_made_and_reach_the_disk(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino) or real(descriptor))
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert set(synced) == {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino}
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "b")
