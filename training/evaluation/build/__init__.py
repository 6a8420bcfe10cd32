"""Making a set: prompts, pictures and clips through ComfyUI, poses and their screening; or from videos."""
