"""The parts of a run: the plan and its chunks, the ledger, the train job, the models in storage, the proof."""
