"""Tests of the template."""

import numpy as np
import pytest

from medvol.data import anatomy
from medvol.data.anatomy import EXTENT, MIDLINE, load_template, sample, tumor_sites


class TestTemplate:
    @pytest.mark.parametrize("spacing", [4, 6])
    def test_maps(self, spacing):
        template = load_template(spacing)
        shape = tuple(n // spacing for n in EXTENT)
        for volume in (template.gray, template.white, template.texture, template.depth):
            assert volume.shape == shape
            assert volume.dtype == np.float32
        inside = template.depth > 0
        assert 1.6e6 < inside.sum() * spacing**3 < 2.2e6  # mm^3: an adult brain
        assert template.white[~inside].mean() < 0.01
        assert abs(float(template.texture[inside].mean())) < 0.05

    def test_affine_puts_the_midline_at_zero(self):
        template = load_template(4)
        middle = MIDLINE / 4 - 0.5  # voxel index
        assert np.isclose(template.affine[0, 0] * middle + template.affine[0, 3], 0)

    def test_brain_is_at_the_same_world_place(self):
        """The center of mass in world coordinates does not depend on the spacing."""
        places = []
        for spacing in (3, 4, 6):
            template = load_template(spacing)
            places.append((template.affine @ np.append(np.argwhere(template.depth > 0).mean(0), 1))[:3])
        assert np.ptp(places, axis=0).max() < 1.0

    def test_block_mean_is_the_mean(self):
        volume = np.random.default_rng(0).random((5, 6, 4))
        got = anatomy._block_mean(volume, 2)
        assert got.shape == (2, 3, 2)
        assert np.isclose(got[1, 2, 0], volume[2:4, 4:6, 0:2].mean())

    def test_sites_are_deep_and_on_both_sides(self):
        sites = tumor_sites()
        assert 0.4 < (sites[:, 0] > MIDLINE).mean() < 0.6
        template = load_template(4)
        assert sample(template.depth, sites.T, 4).min() > 10

    @pytest.mark.parametrize("installed", [False, True])
    def test_missing_template_names_the_remedy(self, installed, tmp_path, monkeypatch):
        class Spec:
            submodule_search_locations = (str(tmp_path),)

        monkeypatch.setattr(anatomy, "find_spec", lambda name: Spec() if installed else None)
        with pytest.raises(FileNotFoundError, match=r"nilearn wheel ships; found .*MEDVOL_CACHE"):
            anatomy.template_folder()
