"""The colours of heat maps: a table of 256, so that drawing needs no plotting library."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

N_COLOURS = 256

# Entries 76 to 225 of the 256 of "inferno" by Nathaniel Smith and Stefan van der Walt, which they gave to the public
# domain (CC0, https://bids.github.io/colormap): red, green and blue in millionths, five hexadecimal digits each.
_INFERNO = """
65a4b1605b69b2f 672951695569a4a 68ae0172466991c 6a32b17b2d697a7 6bb771840a695ea 6d3c418cdd693e8 6ec13195a8691a2
7046319e6968f16 71cb41a72268c45 735081afd36892e 74d5e1b87c685d3 765b51c11e68234 77e0e1c9bb67e50 796691d25367a28
7aec51dae7675bc 7c7221e3796710c 7df7f1ec0866c17 7f7de1f496666dd 8103c1fd256615e 8289b205b665b9b 840f820e4965593
85955216e164f47 871b021f7e648b5 88a0822822641de 8a25e230cf63ac2 8bab12398563361 8d3002424762bbb 8eb4924b16623d1
9038e253f361ba2 91bcc25ce06132d 93403265df60a73 94c3226ef260175 96459278195f833 97c75281585eead 9948728aaf5e4e4
9ac8e294205dad8 9c48729dae5d089 9dc742a75a5c5f7 9f4512b1255bb22 a0c1f2bb125b00c a23dc2c5235a4b6 a3b872cf595991f
a531e2d9b758d49 a6aa02e43d58135 a820d2eeef574e3 a99632f9cd56854 ab0a0304db55b89 ac7c43101854e81 adecc31b885413f
af5b83272c533c3 b0c873330652610 b233533f1751825 b39c334b6250a05 b502f357e84fbb0 b6677364aa4ed28 b7c9a371aa4de6d
b929637ee94cf82 ba86a38c6a4c067 bbe1439a2d4b11d bd3933a8334a1a6 be8e53b67f49203 bfe093c51048235 c12fd3d3e84723e
c27bf3e30846220 c3c4f3f272451db c50aa4022444172 c64cf41222430e5 c78bd4226a42036 c8c72432fd40f65 c9fec443dd3fe76
cb32b455093ed67 cc62d466813dc3c cd8f1478453caf4 ceb7548a573b991 cfdb849cb43a814 d0fb84af5e3967d d21754c254384ce
d32ee4d59637307 d44214e9233612a d550d4fcfa34f36 d65b15111c33d2c d760c5258732b0c d861e53a3a318d8 d95e554f353068e
da561564772f430 db490579ff2e1bc dc37358fcc2cf34 dd2075a5dc2bc96 de04e5bc302a9e3 dee465d2c42971b dfbee5e9992843c
e0947600ad27146 e164f617ff25e39 e230662f8d24b14 e2f6c64757237d7 e3b8165f5b22481 e47436779721110 e52b36900b1fd86
e5dd16a8b51e9e1 e689d6c1941d622 e73156daa71c248 e7d3a6f3ec1ae54 e870b70d6219a47 e908a7270818622 e99b4740dc171e7
ea28a75ade15d9b eab0d7750c14941 eb33b78f66134e1 ebb157a9e912083 ec29a7c49610c33 ec9cb7df6a0f800 ed0a77fa650e3ff
ed72e815860d04c edd60830cc0bd08 ee33d84c360aa62 ee8c4867c20988a eedf68837108873 ef2d289f4107ab1 ef7588bb3106f5c
efb878d7400668a eff618f36e06055 f02e390fb905cda f060f92c2205c36 f08e3948a605e8a f0b6096546063f8 f0d869820106ca6
f0f5499ed5078bc f10c99bbc208864 f11e69d8c809bce f12ab9f5e50b20d f1316a131a0ca26 f1329a30640e3d9 f12e2a4dc30fee9
f1242a6b3711b29 f1148a88be13876 f0ff4aa658156b3 f0e46ac404175ce f0c3fae1c1195b7 f09deaff8e1b665 f0721b1d6b1d7d1
f040bb3b571f9f7 f009cb594e21cd5 efcd4b77522406d ef8b5b955f264bf ef440bb375289d1 eef76bd1912afa5 eea59befb22d643
ee4ecc0dd62fdb2 edf2ec2bfc325fc ed920c4a2134f2d
"""
_FIRST, _N_INFERNO = 76, 256
# Without the ends of the map, which are nearly black and nearly white, as pixels of an image may be.
_FROM, _TO = 0.30, 0.88


@cache
def heat_colours() -> npt.NDArray[np.float64]:
    """Colours from cold to hot, of shape (256, 3), red, green and blue from 0 to 255.

    Examples
    --------
    >>> heat_colours()[[0, -1]].round().astype(int).tolist()
    [[106, 23, 110], [248, 205, 55]]
    """
    known = np.array([[int(entry[i : i + 5], 16) for i in (0, 5, 10)] for entry in _INFERNO.split()])
    positions = (np.linspace(_FROM, _TO, N_COLOURS) * _N_INFERNO).astype(np.intp)
    colours: npt.NDArray[np.float64] = 255 * (known[positions - _FIRST] / 1_000_000)
    return colours
