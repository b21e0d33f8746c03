-- SPDX-License-Identifier: MIT
-- Image resizing as users meet it: what is refused, what fails at a run, that kernels and plain evaluation agree, on any number
-- of threads. (Values: tests/vectors/image_resizing.jsonl; kernels: tests/c/kernels_test.c.)
local mil = require "mil"

local function message(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  return (tostring(err))
end

local function uint32(n) return mil.tensor("uint32", n) end

describe("image resizing", function()
  local bilinear = { sampling_mode = "bilinear", padding_mode = "constant", padding_value = 0.0, align_corners = true,
    coordinates_mode = "normalized_minus_one_to_one" }

  local function with(given, more)
    local all = {}
    for key, value in pairs(given) do all[key] = value end
    for key, value in pairs(more) do all[key] = value end
    return all
  end

  -- {what the message says, what is built}
  local refused = {
    { "axis 1 of x fp32[1, 2, 3] would have 0 elements", function(f, x) return f:upsample_bilinear { x = x, scale_factor_height = 0.25 } end },
    { "scale_factor_width is -1, but takes a number above 0", function(f, x) return f:upsample_nearest_neighbor { x = x, scale_factor_width = -1 } end },
    { "align_corners and half_pixel_centers exclude each other", function(f, x)
      return f:upsample_bilinear { x = x, align_corners = true, half_pixel_centers = true }
    end },
    { 'sampling_mode "CORNERS" is none of STRICT_ALIGN_CORNERS', function(f, x) return f:resize_bilinear { x = x, sampling_mode = "CORNERS" } end },
    { "shape int32[4] has more sizes than x fp32[1, 2, 3] has axes", function(f, x)
      return f:resize { x = x, shape = { 1, 1, 2, 2 }, resized_dims = uint32(2) }
    end },
    { "resized_dims is 2: more than shape int32[1] has sizes", function(f, x) return f:resize { x = x, shape = { 2 }, resized_dims = uint32(2) } end },
    { "boxes fp32[3, 4] has more boxes than x fp32[2, 1, 4, 4] has images", function(f)
      return f:crop_resize { x = f:input("images", "fp32", { 2, 1, 4, 4 }), boxes = f:input("boxes", "fp32", { 3, 4 }) }
    end },
    { "transform_matrix fp32[2, 6] must be [1, 6], or [batch, 6]", function(f)
      return f:affine(with(bilinear, { x = f:input("i", "fp32", { 3, 1, 4, 4 }), transform_matrix = f:input("m", "fp32", { 2, 6 }), output_height = 2,
        output_width = 2 }))
    end },
    { "boxes fp32[1, 7, 4] must be [batch, 4, boxes]", function(f)
      return f:non_maximum_suppression { boxes = f:input("b", "fp32", { 1, 7, 4 }), scores = f:input("s", "fp32", { 1, 2, 7 }), iou_threshold = 0.5,
        max_boxes = 3 }
    end },
  }
  for _, row in ipairs(refused) do
    it("refuses: " .. row[1], function()
      local f = mil.func { opset = "ios18" }
      local text = message(row[2], f, f:input("x", "fp32", { 1, 2, 3 }))
      assert.truthy(text:find(row[1], 1, true), text)
    end)
  end

  it("a box of an image that is not there is an error at the run, and the model goes on", function()
    local f = mil.func { opset = "ios17" }
    f:output("y", (f:crop_resize { x = f:input("x", "fp32", { 2, 1, 4, 4 }), boxes = f:input("b", "fp32", { 1, 4 }),
      box_indices = f:input("i", "int32", { 1 }), target_height = 2, target_width = 2 }))
    for _, optimize in ipairs { 0, 1 } do
      local model = f:compile { optimize = optimize }
      local x, b = mil.ones("fp32", { 2, 1, 4, 4 }), mil.tensor("fp32", { { 0, 0, 3, 9 } })
      local text = message(model.run, model, { x = x, b = b, i = { 2 } })
      assert.truthy(text:find("crop_resize: box 0 is of an image that x fp32[2, 1, 4, 4] does not have", 1, true), text)
      assert.same({ { { { 1, 0 }, { 1, 0 } } } }, model:run({ x = x, b = b, i = { 1 } }).y:table())
    end
  end)

  it("a size below 0 that comes at the run is an error, and 0 keeps the axis", function()
    local f = mil.func { opset = "ios17" }
    f:output("y", (f:resize { x = f:input("x", "fp32", { 1, 4, 2 }), shape = f:input("s", "int32", { 2 }), resized_dims = uint32(2) }))
    local model, x = f:compile(), mil.ones("fp32", { 1, 4, 2 })
    local text = message(model.run, model, { x = x, s = { -3, 2 } })
    assert.truthy(text:find("resize: axis 1 of x fp32[1, 4, 2] would have -3 elements", 1, true), text)
    assert.same({ 1, 3, 2 }, model:run({ x = x, s = { 3, 0 } }).y.shape)
  end)

  local built = {
    upsample_bilinear = function(f, x) return f:upsample_bilinear { x = x, scale_factor_height = 3, scale_factor_width = 2.5, align_corners = false } end,
    upsample_nearest_neighbor = function(f, x) return f:upsample_nearest_neighbor { x = x, scale_factor_height = 1.5, scale_factor_width = 3.0 } end,
    resize_bilinear = function(f, x) return f:resize_bilinear { x = x, target_size_height = 300, target_size_width = 100 } end,
    resize = function(f, x) return f:resize { x = x, shape = { 3, 40, 50 }, resized_dims = uint32(2), sampling_mode = "OFFSET_CORNERS" } end,
    resample = function(f, x, dtype)
      return f:resample(with(bilinear, { x = x, coordinates = f:input("at", "fp32", { 2, 30, 30, 2 }), padding_value = mil.tensor(dtype, 2) }))
    end,
    affine = function(f, x, dtype)
      return f:affine(with(bilinear, { x = x, transform_matrix = mil.tensor(dtype, { { 0.5, 0.25, 0.5, -1, 0.75, 0 } }), output_height = 31,
        output_width = 29, padding_value = mil.tensor(dtype, 0) }))
    end,
    crop_resize = function(f, x, dtype)
      return f:crop_resize { x = x, boxes = mil.tensor(dtype, { { 1, 2, 13, 11 }, { 9, 4, -1, 3 } }), target_height = 7, target_width = 9 }
    end,
  }
  for op, build in pairs(built) do
    for _, dtype in ipairs { "fp32", "fp16" } do
      it(op .. " is the same from its kernel on any number of threads, and plainly, in " .. dtype, function()
        local f = mil.func { opset = "ios18" }
        local y = build(f, f:input("x", dtype, { 2, 3, 15, 17 }), dtype)
        f:output("y", y)
        local inputs = { x = mil.randn(dtype, { 2, 3, 15, 17 }, { seed = 1 }) }
        if op == "resample" then inputs.at = mil.rand("fp32", { 2, 30, 30, 2 }, { seed = 2 }) end
        local one = f:compile({ threads = 1 }):run(inputs).y
        assert.is_true((one:close(f:compile({ threads = 3 }):run(inputs).y, 0, 0)))
        local close, why = one:close(f:compile({ optimize = 0 }):run(inputs).y, dtype == "fp16" and 4e-3 or 1e-5, dtype == "fp16" and 2e-3 or 1e-5)
        assert.is_true(close, why)
      end)
    end
  end
end)
