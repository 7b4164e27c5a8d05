"""Finetuning of compressed models, with torch: `settings` says how, `finetune` does it. Nothing else imports torch."""
