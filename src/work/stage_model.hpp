// A flow's `model` stage: its messages become one call on the gateway's road, its answer the stage's output: the text, or with a schema the
// structured value. Pure, but for the call.
#pragma once
#include "work/model_call.hpp"
#include "work/runner.hpp"

namespace ballast::work {

// The request as chat completions have it.
Result<json::object> model_request(const ModelStage& stage, const json::value& context);
// The output in a reply. Errors: provider_bad_response where there is no answer, where it was cut by the token limit, or, with a schema, where it is
// no JSON or does not fit; provider_content_filter where the model refused.
Result<json::value> model_output(const ModelStage& stage, const json::value& reply);

Performer model_performer(ModelCaller& caller);

}  // namespace ballast::work
