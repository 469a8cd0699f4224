// What POST /api/feedback is told, as far as its body alone says.
#pragma once
#include <optional>
#include <string_view>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "records/feedback.hpp"
#include "work/job.hpp"

namespace ballast::server {

struct Said {
  std::optional<Id> call;                                // what is judged: this,
  work::JobId job;                                       // or this; one of them
  records::Feedback feedback;                            // verdict, score, comment, user
  bool named = false;                                    // the body says who judges
};
// Of at most 64 KiB. Errors: those of parse_json; caller_invalid_request naming the member, unknown ones too.
Result<Said> read_said(std::string_view text);

}  // namespace ballast::server
