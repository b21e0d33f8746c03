-- SPDX-License-Identifier: MIT
-- luamil serve: models for programs in other languages, by lines of JSON.

local options = require "mil.options"

local command = {
  name = "serve",
  summary = "run models for another program: JSON lines over stdin and stdout",
  description = [[
A request is one line of JSON on standard input, its answer one line on standard output; tensors are in npz or
safetensors files, whose paths the request gives. The end of standard input ends the program.

  {"op": "load", "package": "M.mlpackage"}                 -> {"ok": true, "model": 1, "inputs": [..], "states": [..], "outputs": [..]}
  {"op": "run", "model": 1, "inputs": "in.npz", "outputs": "out.npz"}         -> {"ok": true, "values": {}}
  {"op": "unload", "model": 1}                             -> {"ok": true}
  a request that fails                                     -> {"ok": false, "error": "..", "kind": ".."}

load takes more: "function", "compute_precision", and "options", which are those of compile: engine, threads, ...
docs/guides/serve.md has all of it.]],
  options = {},
}

function command.main(_, arguments)
  if #arguments > 0 then options.usage("takes no arguments, but was given %s", arguments[1]) end
  require("mil.serve").run()
  return 0
end

return command
