"""Everything that times: networks, training steps, input pipelines, preparing, and scaling over ranks."""
