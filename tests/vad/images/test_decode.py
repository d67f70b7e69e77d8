import contextlib
import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from vad.errors import InputError
from vad.images.decode import (
    count_movie_frames,
    decode_image,
    decoding_pool,
    read_image,
    read_movie,
    resize,
)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["plain.jpg", "with spaces and (brackets).jpg", "Kamera-ü-数.jpeg"])
def test_an_image_is_read_as_rgb(tmp_path, picture, save, name):
    image = picture(3)
    path = save(tmp_path / "földer with space" / name, image)
    found = read_image(path)
    assert found.shape == (48, 64, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.asarray(Image.open(path).convert("RGB"))).max() <= 2
    assert np.abs(found.astype(int) - image).mean() < 6  # red is red, not blue


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_other_kinds_of_png_become_rgb(picture, mode):
    image = Image.fromarray(picture()).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(decode_image(buffer.getvalue(), "x"), expected)


def test_the_orientation_that_a_camera_noted_is_ignored(picture):
    turned = Image.Exif()
    turned[0x0112] = 3
    image = picture()
    data = encoded(image, "JPEG", exif=turned, quality=95)
    assert np.array_equal(decode_image(data, "x"), decode_image(encoded(image, "JPEG", quality=95), "x"))


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 40}]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(64, 48), (67, 49), (17, 31)])
def test_a_jpeg_has_the_pixels_that_opencv_gives(picture, mode, size, options):
    buffer = io.BytesIO()
    Image.fromarray(picture(1, size)).convert(mode).save(buffer, "JPEG", **options)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    expected = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), flags)
    assert np.array_equal(decode_image(buffer.getvalue(), "x"), expected)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_other_formats_are_read(picture, form, mode):
    image = Image.fromarray(picture()).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **({"lossless": True} if form == "WEBP" else {}))
    assert np.array_equal(decode_image(buffer.getvalue(), "x"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("form", [".png", ".tiff"])
def test_frames_of_16_bits_are_refused_with_the_way_out(form):
    data = cv2.imencode(form, np.full((4, 6), 50_000, np.uint16))[1].tobytes()
    with pytest.raises(
        InputError, match="x has 16 bits a value, and frames have 8: scale all frames, train and test alike"
    ):
        decode_image(data, "x")


def test_several_pictures_in_a_file_are_refused(picture, refuses):
    buffer = io.BytesIO()
    first, second = (Image.fromarray(picture(step)) for step in range(2))
    first.save(buffer, "TIFF", save_all=True, append_images=[second])
    with refuses("x holds 2 images; a frame is one: write each to its own file"):
        decode_image(buffer.getvalue(), "x")


def test_a_pointer_of_git_lfs_is_called_that(tmp_path, refuses):
    for name, read in (("f.jpg", read_image), ("01.avi", count_movie_frames)):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
        with refuses(f"{tmp_path / name} is a Git LFS pointer, not the file itself; run `git lfs pull`"):
            read(tmp_path / name)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.999])
def test_a_jpeg_that_stops_early_is_refused(picture, progressive, share):
    data = encoded(picture(size=(128, 96)), "JPEG", progressive=progressive)
    with pytest.raises(InputError, match=r"^x\.jpg is a damaged JPEG \(.*\); restore or remove it$"):
        decode_image(data[: int(len(data) * share)], "x.jpg")


def test_a_jpeg_whose_preview_is_whole_but_which_stops_early_is_refused(picture):
    preview = encoded(picture(size=(16, 16)), "JPEG")
    exif = b"Exif\0\0" + preview
    data = encoded(picture(), "JPEG")
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert decode_image(data, "x").shape == (48, 64, 3)
    with pytest.raises(InputError, match="x is a damaged JPEG"):
        decode_image(data[:-300], "x")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_png_that_stops_early_is_refused(picture, share):
    data = encoded(picture(), "PNG")
    with pytest.raises(InputError, match=r"^x\.png is (a damaged|no) .*; restore or remove it$"):
        decode_image(data[: int(len(data) * share)], "x.png")


def test_a_packed_tiff_that_is_damaged_in_the_middle_is_refused(picture):
    data = encoded(picture(size=(320, 240)), "TIFF", compression="tiff_lzw")
    assert decode_image(data, "x.tif").shape == (240, 320, 3)
    at = len(data) // 2
    with pytest.raises(InputError, match=r"^x\.tif is a damaged TIFF"):
        decode_image(data[:at] + bytes(512) + data[at + 512 :], "x.tif")


def test_text_named_jpg_is_refused(tmp_path, refuses):
    (tmp_path / "x.jpg").write_text("<html>404</html>")
    with refuses(f"{tmp_path / 'x.jpg'} is not a JPEG, PNG, BMP, TIFF or WebP; restore or remove it"):
        read_image(tmp_path / "x.jpg")


def test_an_empty_a_missing_and_a_folder_named_like_an_image_are_refused(tmp_path, refuses):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    with refuses(f"{tmp_path / 'empty.jpg'} is empty (0 bytes); restore or remove it"):
        read_image(tmp_path / "empty.jpg")
    with refuses(f"cannot read {tmp_path / 'none.jpg'}: No such file or directory"):
        read_image(tmp_path / "none.jpg")
    with refuses(f"cannot read {tmp_path / 'folder.jpg'}: Is a directory"):
        read_image(tmp_path / "folder.jpg")


@pytest.mark.parametrize("size", [17, 32, 64, 128])
@pytest.mark.parametrize("shape", [(640, 360), (50, 90), (64, 48)])
def test_resize_is_within_a_grey_level_of_pils_bilinear(picture, shape, size):
    image = picture(5, shape)
    image[::7, ::5] = 255 - image[::7, ::5]  # hard edges
    expected = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    found = resize(image, size, size)
    assert found.shape == (size, size, 3)
    assert found.flags.c_contiguous
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_an_image_of_the_right_size_stays_as_it_is(picture):
    image = picture(size=(32, 32))
    assert np.array_equal(resize(image, 32, 32), image)


def test_a_movie_gives_its_frames_in_order_and_in_rgb(tmp_path, picture, save_movie):
    images = [picture(step) for step in range(5)]
    path = save_movie(tmp_path / "a movie.avi", images)
    assert count_movie_frames(path) == 5
    frames = list(read_movie(path))
    assert len(frames) == 5
    for frame, image in zip(frames, images, strict=True):
        errors = [np.abs(frame.astype(int) - other).mean() for other in images]
        assert min(errors) == np.abs(frame.astype(int) - image).mean() < 12


def test_what_is_no_movie_is_refused(tmp_path, refuses):
    (tmp_path / "x.avi").write_text("no movie")
    for work in (count_movie_frames, lambda path: list(read_movie(path))):
        with refuses(f"{tmp_path / 'x.avi'} is not a video that can be decoded; restore or remove it"):
            work(tmp_path / "x.avi")


def test_a_movie_without_a_frame_is_refused(tmp_path, picture, save_movie, refuses):
    path = save_movie(tmp_path / "x.avi", [picture()])
    data = path.read_bytes()
    start = data.index(b"\xff\xd8")
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with refuses(f"{path} holds no frame that can be decoded; restore or remove it"):
        count_movie_frames(path)


@pytest.fixture(scope="module", params=["avi", "mp4", "mkv", "mov", "m4v", "webm", "mpg", "ts"])
def movie(request, tmp_path_factory):
    """A movie of 40 frames, of each kind that OpenCV can write."""
    path = tmp_path_factory.mktemp("movie") / f"1.{request.param}"
    codec = {"avi": "MJPG", "webm": "VP80", "mpg": "mpg1"}.get(request.param, "mp4v")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no .{request.param}")
    generator = np.random.default_rng(0)
    for step in range(40):
        writer.write(np.full((48, 64, 3), 5 * step, np.uint8) + generator.integers(0, 40, (48, 64, 3), np.uint8))
    writer.release()
    return path


def test_a_whole_movie_of_any_kind_is_read(movie):
    assert count_movie_frames(movie) == len(list(read_movie(movie))) == 40


@pytest.mark.parametrize("share", [0.55, 0.8])
def test_a_movie_that_is_cut_off_is_refused(movie, tmp_path, share):
    if movie.suffix in (".mpg", ".ts"):
        pytest.skip("streams without a count of frames: a part of one is one")
    cut = tmp_path / movie.name
    content = movie.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    for read in (count_movie_frames, lambda path: list(read_movie(path))):
        with pytest.raises(
            InputError, match=rf"1{movie.suffix} (gave \d+ of its|ends about|is not a video|holds no frame)"
        ):
            read(cut)


def test_a_frame_lost_in_the_middle_is_no_frame_less_at_the_end(tmp_path, picture, save_movie):
    path = save_movie(tmp_path / "1.avi", [picture(step) for step in range(20)])
    content, starts = path.read_bytes(), []
    while (at := content.find(b"\xff\xd8\xff", starts[-1] + 1 if starts else 0)) >= 0:
        starts.append(at)
    assert len(starts) == 20
    for damaged, message in ((9, "gave 9 of its 20 frames"), (18, "lost 2 of its 20 frames before its end")):
        start, end = starts[damaged], starts[damaged + 1]
        path.write_bytes(content[:start] + bytes(end - start - 8) + content[end - 8 :])
        for read in (count_movie_frames, lambda path: list(read_movie(path))):
            with pytest.raises(InputError, match=message):
                read(path)


@pytest.mark.parametrize("how", ["zeroed", "gone"])
def test_no_number_moves_behind_a_damaged_frame(movie, tmp_path, how):
    content = movie.read_bytes()
    at, count = int(0.4 * len(content)), 4096 if how == "zeroed" else 100
    spoilt = tmp_path / movie.name
    spoilt.write_bytes(content[:at] + bytes(count if how == "zeroed" else 0) + content[at + count :])
    for read in (count_movie_frames, lambda path: list(read_movie(path))):
        with contextlib.suppress(InputError):
            found = read(spoilt)
            assert (found if isinstance(found, int) else len(found)) == 40


@pytest.mark.parametrize("by", [bytes(100), b""], ids=["zeroed", "gone"])
def test_an_avi_that_lost_bytes_in_the_middle_is_refused(tmp_path, picture, save_movie, by):
    path = save_movie(tmp_path / "1.avi", [picture(step, (160, 120)) for step in range(40)])
    content = path.read_bytes()
    at = content.index(b"\xff\xd8\xff", int(0.4 * len(content))) - 8  # a frame's chunk, which has a head of 8 bytes
    path.write_bytes(content[:at] + by + content[at + 100 :])
    for read in (count_movie_frames, lambda path: list(read_movie(path))):
        with pytest.raises(InputError, match=r"lost 1 of its 40 frames before its end"):
            read(path)


def test_an_avi_whose_last_frame_is_cut_off_is_read(tmp_path, picture, save_movie):
    path = save_movie(tmp_path / "1.avi", [picture(step, (160, 120)) for step in range(40)])
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xff\xd8\xff") - 8])
    assert count_movie_frames(path) == len(list(read_movie(path))) == 39


@pytest.fixture
def retimed(movie, tmp_path):
    """The movie's own packets as a .mkv in which frame i is shown at `time(i)`, in 25ths of a second."""
    if movie.suffix != ".webm" or not hasattr(cv2, "VIDEOWRITER_PROP_PTS"):
        pytest.skip("one kind is enough, where OpenCV can set times")

    def write(time):
        packets = cv2.VideoCapture(str(movie), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        path, raw = tmp_path / "1.mkv", [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1, cv2.VIDEOWRITER_PROP_KEY_INTERVAL, 2**30]
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), 25, (64, 48), raw)
        position = 0
        while (found := packets.read())[0]:
            writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, packets.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))
            writer.set(cv2.VIDEOWRITER_PROP_PTS, time(position))
            writer.set(cv2.VIDEOWRITER_PROP_DTS_DELAY, 0)
            writer.write(found[1])
            position += 1
        writer.release()
        return path

    return write


@pytest.mark.parametrize("time", [lambda i: i, lambda i: i + i // 2, lambda i: max(i, 2 * i - 20)])
def test_a_movie_of_varying_rate_is_whole(retimed, time):
    path = retimed(time)
    assert count_movie_frames(path) == len(list(read_movie(path))) == 40


def test_a_gap_in_a_steady_movie_is_told(retimed, refuses):
    path = retimed(lambda i: i if i < 20 else i + 3)
    with refuses(
        f"{path} has a gap after frame 19: it is damaged, or the camera dropped frames; restore it, "
        "or fill the gap (`ffmpeg -i OLD -fps_mode cfr NEW.mp4`)"
    ):
        count_movie_frames(path)


@pytest.mark.parametrize(("dtype", "colour"), [(np.uint16, False), (np.uint8, False), (np.uint8, True)])
def test_a_movie_of_16_bits_is_refused_and_one_of_8_is_not(tmp_path, refuses, dtype, colour):
    """Of a thermal camera: only the high byte of its values would be read."""
    path, grey = tmp_path / "1.mkv", np.arange(48 * 64).reshape(48, 64) % 256
    depth = cv2.CV_16U if dtype == np.uint16 else cv2.CV_8U
    options = [cv2.VIDEOWRITER_PROP_DEPTH, depth, cv2.VIDEOWRITER_PROP_IS_COLOR, int(colour)]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 25, (64, 48), options)
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no FFV1")
    for _ in range(3):
        writer.write((np.dstack([grey] * 3) if colour else grey).astype(dtype))
    writer.release()
    if dtype == np.uint8:
        assert count_movie_frames(path) == 3
        return
    fix = "scale all frames, train and test alike, by one range to 8 bits first"
    with refuses(f"{path} has 16 bits a value, and frames have 8: {fix}"):
        count_movie_frames(path)


def test_decoding_threads_leave_the_libraries_as_they_were():
    def use(number):
        with decoding_pool() as pool:
            assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
            return list(pool.map(lambda x: 1 / x, [1, number]))

    torch.set_num_threads(2)
    before = cv2.getNumThreads()
    assert use(2) == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        use(0)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, before)
