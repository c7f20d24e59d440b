"""The run viewer: a log of runs in the browser. `app.viewer_app` makes it; nothing here is imported before it is served."""
