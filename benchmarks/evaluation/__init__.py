"""What encoders, forecasts, content and segments are worth on shops that nobody trained on."""
