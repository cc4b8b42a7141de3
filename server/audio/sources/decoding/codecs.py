"""Which of FFmpeg's decoders may run on a stranger's file, and what their codecs are called.

Only names: no decoder is imported. Left out on purpose: what is found in games and telephone
exchanges alone, what has no sound of its own (wavesynth, anull, comfort noise), the fixed-point
twins of decoders that are here, and what FFmpeg marks as experimental.
"""

from collections.abc import Mapping
from types import MappingProxyType

_PCM = (
    "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_u16le", "pcm_u16be", "pcm_s24le",
    "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be",
    "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd", "s302m",
)  # fmt: skip
_ADPCM = (
    "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf", "adpcm_yamaha",
    "adpcm_ct", "adpcm_sbpro_2", "adpcm_sbpro_3", "adpcm_sbpro_4",
)  # fmt: skip
# By decoder; several decoders may be there for one codec.
TITLES: Mapping[str, str] = MappingProxyType({
    "aac": "AAC", "aac_latm": "AAC", "ac3": "AC-3", "eac3": "E-AC-3", "dca": "DTS",
    "truehd": "TrueHD", "mlp": "MLP", "mp1": "MP1", "mp1float": "MP1", "mp2": "MP2",
    "mp2float": "MP2", "mp3": "MP3", "mp3float": "MP3", "mp3adufloat": "MP3", "mp3on4float": "MP3",
    "flac": "FLAC", "alac": "ALAC", "als": "MPEG-4 ALS", "ape": "Monkey's Audio",
    "wavpack": "WavPack", "tta": "TTA", "mpc7": "Musepack",
    "mpc8": "Musepack", "vorbis": "Vorbis", "opus": "Opus", "libopus": "Opus", "speex": "Speex",
    "wmav1": "WMA", "wmav2": "WMA", "wmapro": "WMA Pro", "wmalossless": "WMA Lossless",
    "wmavoice": "WMA Voice", "amrnb": "AMR", "amrwb": "AMR-WB", "libopencore_amrnb": "AMR",
    "libopencore_amrwb": "AMR-WB", "g722": "G.722", "g726": "G.726", "g726le": "G.726",
    "g723_1": "G.723.1", "g729": "G.729", "gsm": "GSM", "gsm_ms": "GSM", "ilbc": "iLBC",
    "nellymoser": "Nellymoser", "qdm2": "QDesign", "qdmc": "QDesign", "mace3": "MACE",
    "mace6": "MACE", "cook": "RealAudio", "sipr": "RealAudio", "ralf": "RealAudio",
    "real_144": "RealAudio", "real_288": "RealAudio", "atrac3": "ATRAC3", "atrac3plus": "ATRAC3+",
    "truespeech": "TrueSpeech", "dsd_lsbf": "DSD", "dsd_msbf": "DSD", "dsd_lsbf_planar": "DSD",
    "dsd_msbf_planar": "DSD", "dst": "DST",
}) | dict.fromkeys(_PCM, "PCM") | dict.fromkeys(_ADPCM, "ADPCM")  # fmt: skip
DECODERS = tuple(TITLES)
# What files say of codecs that no decoder here knows: sample entries of MP4, ids of Matroska.
_OTHERS = {
    "ac-4": "AC-4", "mha1": "MPEG-H", "mhm1": "MPEG-H", "iamf": "IAMF", "twos": "PCM",
    "A_QUICKTIME/QDM2": "QDesign",
}  # fmt: skip


def title(name: str) -> str:
    """What a codec is called, by its decoder's name or by what the file says."""
    return TITLES.get(name) or _OTHERS.get(name) or name
