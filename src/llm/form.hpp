// The one reader of requests sent as a form: for images, and files (multipart/form-data, RFC 7578 on RFC 2046). Pure; any thread.
//
// A form is passed through as the caller wrote it, so this reader must see what any provider's reader sees: whatever two readers
// could take differently is refused, not guessed at. Strict where the RFCs are lenient: no preamble, no epilogue, CRLF alone ends
// a line, the boundary occurs nowhere but as a delimiter, a part has one Content-Disposition, a name has no escapes, a field
// that decides the cost is there once and is no file. Linear in the body; the number of parts and the size of their heads bounded.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "llm/images.hpp"

namespace ballast::llm {

inline constexpr std::size_t kMaxFormParts = 64;        // OpenAI takes 16 images, a mask and about 15 fields
inline constexpr std::size_t kMaxPartHead = 4096;       // bytes

// True if the body is said to be a form: then `read_image_form` reads it, else it is JSON.
bool is_form(std::string_view content_type);

// A field of a form. Borrowed from the body.
struct FormPart {
  std::string_view name, value, filename;
  bool file = false;                     // it was sent as one
};
// Every part of a form, in its order. Errors: caller_invalid_request, as below.
Result<std::vector<FormPart>> read_form(std::string_view body, std::string_view content_type);

// What a form asks for. Errors: caller_invalid_request with the field's name: `content-type` for a boundary that is not 1 to 70
// of RFC 2046's characters, as a token or quoted; `body` for what is no form by the rules above; else the field itself.
Result<ImageAsk> read_image_form(std::string_view body, std::string_view content_type);

// The form with another model's name in place. `ask` is what was read of this very body, and names a model.
std::string rename_model(std::string_view body, const ImageAsk& ask, std::string_view model);

}  // namespace ballast::llm
