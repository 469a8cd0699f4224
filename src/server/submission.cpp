#include "server/submission.hpp"

#include "work/runner.hpp"

namespace ballast::server {

Result<void> make_ready(WorkDoor& door, work::Submission& submission) {
  if (submission.spec.kind == work::JobKind::flow)
    if (auto bound = work::bind_flow(door.flows(), submission, door.engine().home().clock().wall()); !bound) return bound;
  return door.webhooks().admit(submission.spec);
}

Result<work::Submission> read_submission(WorkDoor& door, const JsonRef& body, const gateway::Principal& who) {
  auto one = submission_from(body, who);
  if (!one) return one;
  if (auto ready = make_ready(door, *one); !ready) return fail(std::move(ready.error()));
  return one;
}

}  // namespace ballast::server
