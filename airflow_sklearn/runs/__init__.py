"""What a run consists of: the plan and its chunks, the ledger, the train job, the models in storage, the proof."""
