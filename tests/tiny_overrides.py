"""Overrides that make a run of a second."""

TINY = [
    "data=digits",
    "trainer=cpu",
    "training.max_images=1500",
    "training.log_every_steps=5",
    "samples.n=16",
    "samples.every_images=1000",
]
NETS = {
    "made": ["model.network.hidden=[16]"],
    "gated_pixelcnn": ["model.network.channels=4", "model.network.dilations=[1]", "model.network.head_channels=8"],
    "eonade": ["model.network.hidden=[16]"],
    "vae": ["model.encoder.hidden=[16]", "model.decoder.hidden=[16]", "model.latent_dim=4"],
    "gan": ["model.generator.hidden=[16]", "model.discriminator.hidden=[16]"],
    "vae_conv": ["model.encoder.channels=4", "model.decoder.channels=4", "model.latent_dim=4"],
    "dcgan": ["model.generator.channels=4", "model.discriminator.channels=4"],
}
MORE_NETS = {
    "iwae_2l": ["model.latent_dims=[8,4]"],
    "hierarchical_vae": ["model.channels=8"],
    "pixel_vae": ["model.latent_dim=4", "model.encoder.channels=4", "model.decoder.decoder.channels=4"],
    "vq_vae": ["model.latent_dim=4", "model.encoder.channels=4", "model.decoder.channels=4"],
}
"""Further models, with overrides that make them small."""
FLOW_NETS = {
    "dequantised": ["model.density.transform.depth=2", "model.density.transform.hidden=[8]"],
    "glow": ["model.density.transform.steps.depth=1", "model.density.transform.steps.network.width=4"],
    "realnvp_images": [
        "model.density.transform.steps.checkerboards=1",
        "model.density.transform.steps.channels=1",
        "model.density.transform.steps.network.width=4",
    ],
}
"""Flows, the same."""
FIDELITY = ["metrics.fidelity.n=60", "metrics.fidelity.kid_subset_size=20", "metrics.fidelity.is_splits=2"]
