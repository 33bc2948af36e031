/* api_info.h - what the server tells about itself: models, health, metrics, cluster. All append to out. */
#ifndef CV_COORDINATOR_API_INFO_H
#define CV_COORDINATOR_API_INFO_H

#include "coordinator/api.h"

bool cv_api_model_json(const struct cv_served *m, struct cv_buf *out);
bool cv_api_models_json(const struct cv_served *m, struct cv_buf *out);
bool cv_api_props_json(const struct cv_served *m, struct cv_buf *out);
/* Nodes, stages, epoch, progress: what `caravan ps` shows. */
bool cv_api_cluster_json(const struct cv_api_options *o, struct cv_buf *out);
/* Prometheus text format 0.0.4. */
bool cv_api_metrics(const struct cv_api_options *o, struct cv_buf *out);

#endif
