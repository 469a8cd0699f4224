// StepListener: somebody who watches one call decide. The road tells each step as it is taken, word for word as the decision record keeps
// it, and between them the moments that a record has no need of (kMoments in decision.hpp), for they are what one waits for.
//
// Who may listen is settled before anything is told: the road says whose call it is once that is proved, and the listener says whether it
// waits for that. Like the record, steps hold no prompts, answers or secrets.
#pragma once
#include <string_view>

namespace ballast::gateway {

// Used on the call's own loop, from `begins` to the end of `Gateway::serve`. Nothing here may block or throw.
class StepListener {
 public:
  virtual ~StepListener() = default;
  // A call of this key has begun, under this id ("call_…"). False: it is not the one that was waited for, and nothing of it is told.
  virtual bool begins(std::string_view key_id, std::string_view call_id) = 0;
  // A step: a JSON object as in CallRecord::decision. Borrowed until it returns.
  virtual void heard(std::string_view step) = 0;
};

}  // namespace ballast::gateway
