"""Reading recordings: rates, channels, archives, formats without a header, what is no audio."""

import av
import numpy as np
import pytest
import soundfile

from server.starter.recorded.sound import Recording, listing, read, seconds
from tests.starter.material import SR, tone, write_sound, zipped


def test_samples_come_as_they_are(tmp_path):
    sound = tone(0.5)
    path = write_sound(tmp_path / "a.wav", sound)
    back, rate = read(Recording(path))
    assert rate == SR and back.dtype == np.float32
    np.testing.assert_allclose(back, sound.T, atol=1e-4)
    assert seconds(Recording(path)) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_rate_and_channels_are_changed_on_request(tmp_path, rate):
    path = write_sound(tmp_path / "a.flac", tone(1.0, 440.0, rate), rate)
    back, told = read(Recording(path), SR, channels=1)
    assert told == SR and back.shape == (1, pytest.approx(SR, abs=64))
    power = np.abs(np.fft.rfft(back[0] * np.hanning(back.shape[1])))
    assert power.argmax() * SR / back.shape[1] == pytest.approx(440.0, abs=1.5)


def test_members_of_archives_are_recordings(tmp_path):
    low, high = (write_sound(tmp_path / f"{h}.ogg", tone(0.4, h)) for h in (200, 900))
    archive = zipped(tmp_path / "music.pk3", {"sound/low.ogg": low, "sound/high.ogg": high,
                                              "sound/text.txt": low})  # fmt: skip
    found = listing(archive, "*.ogg")
    assert [one.name for one in found] == ["high", "low"]
    np.testing.assert_array_equal(read(found[1])[0], read(Recording(low))[0])
    assert seconds(found[0]) == pytest.approx(0.4, abs=0.02)


def test_g722_has_no_header_and_is_read(tmp_path):
    path = tmp_path / "word.g722"
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16000, layout="mono")
        sound = tone(1.0, 500.0, 16000)[:, :1].T
        frame = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16), "s16", "mono")
        frame.rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    back, rate = read(Recording(path), channels=1)
    assert rate == 16000 and back.shape[1] == pytest.approx(16000, abs=400)
    assert np.abs(back).max() == pytest.approx(0.3, abs=0.05)


def test_what_is_no_audio_is_refused(tmp_path):
    path = tmp_path / "a.ogg"
    path.write_text("not audio")
    with pytest.raises(av.FFmpegError):
        read(Recording(path))
    assert seconds(Recording(path)) == 0.0


def test_a_folder_is_listed_in_order(tmp_path):
    for name in ("b/2.ogg", "a/1.ogg"):
        write_sound(tmp_path / name, tone(0.1))
    assert [one.name for one in listing(tmp_path, "*/*.ogg")] == ["1", "2"]
    assert soundfile.info(tmp_path / "a/1.ogg").format == "OGG"
