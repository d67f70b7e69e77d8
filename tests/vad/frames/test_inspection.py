import numpy as np
import pytest

from vad.data.layouts import read_frameset
from vad.frames.inspection import Fault, inspect_frames


@pytest.fixture
def look(tmp_path):
    return lambda root, advance=None: inspect_frames(read_frameset(root, tmp_path / "memory", strict=False), advance)


def test_a_sound_data_set_is_reported_video_by_video(tmp_path, dataset, save, picture, look):
    root = dataset(tmp_path / "data", {1: [700, 701, 704, 706], 12: range(40)}, {3: [5]}, size=(96, 54))
    save(root / "testing_videos" / "04" / "frame_00000.png", picture(size=(64, 48)))
    told = []
    report = look(root, told.append)
    assert (report.name, report.root) == ("data", root)
    assert [(v.id, v.frames, v.first, v.last, v.missing, v.sizes) for v in report.train.videos] == [
        (1, 4, 700, 706, (702, 703, 705), ((96, 54),)),
        (12, 40, 0, 39, (), ((96, 54),)),
    ]
    assert [(v.id, v.frames, v.first, v.last, v.missing, v.sizes) for v in report.test.videos] == [
        (3, 1, 5, 5, (), ((96, 54),)),
        (4, 1, 0, 0, (), ((64, 48),)),
    ]
    assert (report.train.frames, report.test.frames) == (44, 2)
    assert report.unreadable == ()
    assert report.sound
    assert sum(told) == 46


def test_sizes_are_true_where_they_do_not_divide_evenly(tmp_path, dataset, look):
    report = look(dataset(tmp_path / "data", size=(67, 49)))
    assert {size for video in report.videos for size in video.sizes} == {(67, 49)}


def test_all_unreadable_files_are_reported_each_with_its_reason(tmp_path, dataset, look):
    root = dataset(tmp_path / "data", {1: range(50)}, {1: range(4), 2: range(2)})
    train, test = root / "training_videos" / "01", root / "testing_videos"
    (train / "frame_00003.jpg").write_bytes(b"")
    whole = (train / "frame_00040.jpg").read_bytes()
    (train / "frame_00040.jpg").write_bytes(whole[:-200])
    (train / "frame_00049.jpg").unlink()
    (train / "frame_00049.jpg").symlink_to(tmp_path / "gone.jpg")
    (test / "01" / "frame_00000.jpg").write_text("<html>")
    for frame in (test / "02").iterdir():
        frame.write_bytes(b"")
    report = look(root)
    expected = [
        (train / "frame_00003.jpg", "{} is empty (0 bytes); restore or remove it"),
        (train / "frame_00040.jpg", "{} is a damaged JPEG (Premature end of JPEG file); restore or remove it"),
        (train / "frame_00049.jpg", "cannot read {}: No such file or directory"),
        (test / "01" / "frame_00000.jpg", "{} is not a JPEG, PNG, BMP, TIFF or WebP; restore or remove it"),
        (test / "02" / "frame_00000.jpg", "{} is empty (0 bytes); restore or remove it"),
        (test / "02" / "frame_00001.jpg", "{} is empty (0 bytes); restore or remove it"),
    ]
    assert report.unreadable == tuple(Fault(path, reason.format(path)) for path, reason in expected)
    assert [len(video.unreadable) for video in report.videos] == [3, 1, 2]
    assert report.videos[2].sizes == ()
    assert report.videos[0].frames == 50
    assert not report.sound


def test_two_sizes_in_one_video_are_seen(tmp_path, dataset, save, picture, look):
    root = dataset(tmp_path / "data")
    save(root / "testing_videos" / "01" / "frame_00002.jpg", picture(size=(48, 64)))
    report = look(root)
    assert report.test.videos[0].sizes == ((48, 64), (64, 48))
    assert not report.sound


def test_frames_that_stand_upside_down_are_found(tmp_path, dataset, save, picture, look):
    root = dataset(tmp_path / "data", {1: range(12)}, {1: range(40), 7: range(3)})
    flipped = (0, 3, 4, 38)
    for number in flipped:
        save(root / "testing_videos" / "01" / f"frame_{number:05d}.jpg", picture(number, flipped=True))
    report = look(root)
    assert [video.upside_down for video in report.videos] == [(), flipped, ()]
    assert report.sound  # it is for the user to know, not a reason to stop


def test_one_training_frame_upside_down_misleads_nobody(tmp_path, dataset, save, picture, look):
    root = dataset(tmp_path / "data", {1: range(9)}, {1: range(6)})
    save(root / "training_videos" / "01" / "frame_00004.jpg", picture(4, flipped=True))
    report = look(root)
    assert [video.upside_down for video in report.videos] == [(4,), ()]


@pytest.mark.parametrize("kind", ["noisy", "plain", "sideways", "symmetric"])
def test_frames_that_are_merely_odd_are_left_alone(tmp_path, dataset, save, picture, look, kind):
    root = dataset(tmp_path / "data", {1: range(9)}, {1: range(6)})
    street = picture(2)
    ramp = np.linspace(0, 255, 48)
    odd = {
        "noisy": np.clip(street + np.random.default_rng(0).normal(0, 40, street.shape), 0, 255),
        "plain": np.full_like(street, 7),
        "sideways": np.broadcast_to(np.linspace(0, 255, 64)[None, :, None], street.shape),
        "symmetric": np.broadcast_to(np.minimum(ramp, ramp[::-1])[:, None, None], street.shape),
    }[kind]
    save(root / "testing_videos" / "01" / "frame_00003.jpg", odd.astype(np.uint8))
    assert look(root).test.videos[0].upside_down == ()


def test_movies_are_inspected_too(tmp_path, picture, save_movie, look):
    root = tmp_path / "data"
    save_movie(root / "training_videos" / "01.avi", [picture(i) for i in range(9)])
    save_movie(root / "testing_videos" / "01.avi", [picture(i, flipped=i in (2, 5)) for i in range(7)])
    broken = root / "testing_videos" / "02.avi"
    broken.write_text("no movie")
    told = []
    report = look(root, told.append)
    first, second = report.test.videos
    assert (first.frames, first.first, first.last, first.sizes) == (7, 0, 6, ((64, 48),))
    assert first.upside_down == (2, 5)
    assert (second.frames, second.first, second.last, second.missing, second.sizes) == (0, None, None, (), ())
    assert second.unreadable == (Fault(broken, f"{broken} is not a video that can be decoded; restore or remove it"),)
    assert not report.sound


def test_a_movie_that_lost_frames_is_reported(tmp_path, dataset, picture, save_movie):
    root = dataset(tmp_path / "data")
    path = save_movie(root / "testing_videos" / "09.avi", [picture(i) for i in range(6)])
    known = read_frameset(root, tmp_path / "memory", strict=False)
    save_movie(path, [picture(i) for i in range(4)])
    fault = Fault(path, f"{path} gave 4 frames of 6 this time; it may be damaged")
    assert inspect_frames(known).unreadable == (fault,)


def test_training_frames_that_are_all_unreadable_do_not_stop_the_inspection(tmp_path, dataset, look):
    root = dataset(tmp_path / "data", {1: range(2)})
    for path in (root / "training_videos" / "01").iterdir():
        path.write_bytes(b"")
    report = look(root)
    assert len(report.unreadable) == 2
    assert report.test.videos[0].upside_down == ()


def test_notes_and_faults_of_the_folders_are_passed_on(tmp_path, dataset, save, picture, look):
    root = dataset(tmp_path / "data")
    (root / "testing_videos" / "list.txt").write_text("")
    folder = root / "training_videos" / "01"
    save(folder / "frame_3.png", picture())
    report = look(root)
    assert report.notes == (
        f"{root / 'testing_videos'}: passed over list.txt; a video is a folder of frames, such as 01, "
        "or a movie such as 01.avi (avi, mp4, mov, mkv, webm, m4v, mpg, ts)",
    )
    assert report.faults == (
        f"{folder / 'frame_00003.jpg'} and {folder / 'frame_3.png'} have one frame number, 3; remove one",
    )
    assert not report.sound
