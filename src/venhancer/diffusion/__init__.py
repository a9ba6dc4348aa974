"""The diffusion process: schedule, denoiser wrappers and solvers, all over plain callables."""
