// A flow's `model` stage: its messages become one call on the gateway's road, its answer the stage's output: the text, or with a schema the
// structured value. Pure, but for the call.
#pragma once
#include "work/model_call.hpp"
#include "work/runner.hpp"

namespace ballast::work {

// The request as chat completions have it.
Result<json::object> model_request(const ModelStage& stage, const json::value& context);
// The text in a reply, borrowed from it. Errors: provider_bad_response where there is none, or where it was cut by the token limit;
// provider_content_filter where the model refused.
Result<std::string_view> model_text(const json::value& reply);
// The JSON in such a text, without the fence that many models put around it. Errors: provider_bad_response.
Result<json::value> model_json(std::string_view text);
// The output in a reply. Errors: as of these; with a schema, provider_bad_response where it does not fit.
Result<json::value> model_output(const ModelStage& stage, const json::value& reply);

// What a stage of this run asks of a model, in the run's name. `nth`: of several calls of one attempt.
ModelRequest model_call_of(const StageCall& call, std::string route, const json::object& body, unsigned nth = 0);

Performer model_performer(ModelCaller& caller);

}  // namespace ballast::work
