using System.Collections.Generic;

namespace Aognet.Client
{
    /// <summary>A photograph on this machine and its pose, in degrees. Fov null: what its EXIF data says, or 90.</summary>
    public sealed class AskedPhoto
    {
        public string Path;
        public double Yaw, Pitch, Roll;
        public double? Fov;
    }

    /// <summary>What a panorama is painted from. Height: rows, 0 for the model's own.</summary>
    public sealed class AskedJob
    {
        public string Prompt = "", Negative = "", Title = "", Model = "";
        public long Seed;
        public int Height;
        public List<AskedPhoto> Photos = new List<AskedPhoto>();
        public Dictionary<string, object> Settings = new Dictionary<string, object>();

        /// <summary>Returns the body that is sent, in which photographs have no "upload" yet.</summary>
        public Dictionary<string, object> Body()
        {
            var body = new Dictionary<string, object>
            {
                { "prompt", Prompt }, { "negative", Negative }, { "seed", Seed }, { "title", Title }, { "settings", Settings },
            };
            if (Model != "") body["model"] = Model;
            if (Height > 0) body["height"] = (long)Height;
            var poses = new List<object>();
            foreach (var photo in Photos)
            {
                var pose = new Dictionary<string, object> { { "yaw", photo.Yaw }, { "pitch", photo.Pitch }, { "roll", photo.Roll } };
                if (photo.Fov != null) pose["fov"] = photo.Fov.Value;
                poses.Add(pose);
            }
            body["photos"] = poses;
            return body;
        }
    }
}
