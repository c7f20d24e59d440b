"""The run viewer: a log of runs in the browser. `app.viewer_app` makes it."""
