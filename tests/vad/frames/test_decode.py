import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from vad.frames.decode import (
    count_movie_frames,
    decode_grey,
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


def test_grey_is_the_brightness_of_the_colours(picture):
    image = picture()
    data = encoded(image, "PNG")
    expected = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode_grey(data, "x") - expected).max() <= 1


@pytest.mark.parametrize("decode", [decode_image, decode_grey])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.999])
def test_a_jpeg_that_stops_early_is_refused(picture, refuses, decode, progressive, share):
    data = encoded(picture(size=(128, 96)), "JPEG", progressive=progressive)
    with refuses("x.jpg is a truncated JPEG (no end marker); restore or remove it"):
        decode(data[: int(len(data) * share)], "x.jpg")


def test_a_jpeg_whose_preview_is_whole_but_which_stops_early_is_refused(picture, refuses):
    preview = encoded(picture(size=(16, 16)), "JPEG")
    exif = b"Exif\0\0" + preview
    data = encoded(picture(), "JPEG")
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert decode_image(data, "x").shape == (48, 64, 3)
    with refuses("x is a truncated JPEG (no end marker); restore or remove it"):
        decode_image(data[:-300], "x")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_png_that_stops_early_is_refused(picture, refuses, share):
    data = encoded(picture(), "PNG")
    with refuses("x.png is no image that can be decoded; restore or remove it"):
        decode_image(data[: int(len(data) * share)], "x.png")


def test_text_named_jpg_is_refused(tmp_path, refuses):
    (tmp_path / "x.jpg").write_text("<html>404</html>")
    with refuses(f"{tmp_path / 'x.jpg'} is neither a JPEG nor a PNG; restore or remove it"):
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
    found = resize(image, size)
    assert found.shape == (size, size, 3)
    assert found.flags.c_contiguous
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_an_image_of_the_right_size_stays_as_it_is(picture):
    image = picture(size=(32, 32))
    assert np.array_equal(resize(image, 32), image)


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
        with refuses(f"{tmp_path / 'x.avi'} is no video that can be decoded; restore or remove it"):
            work(tmp_path / "x.avi")


def test_a_movie_without_a_frame_is_refused(tmp_path, picture, save_movie, refuses):
    path = save_movie(tmp_path / "x.avi", [picture()])
    data = path.read_bytes()
    start = data.index(b"\xff\xd8")
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with refuses(f"{path} holds no frame that can be decoded; restore or remove it"):
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
